import { randomUUID } from 'node:crypto';
import type { ServiceSettings } from '../../config/services.ts';
import type { Facts } from '../../policy/project.ts';
import { buildClaims } from '../../token/claims.ts';
import type { Judgement } from './judge.ts';
import type { DraftToken } from './outcome.ts';

/** The claims of the token that a decision grants, but for those that need a key. */
export function draftToken(
  { service, facts, subject, decision }: Pick<Judgement, 'service' | 'facts' | 'subject' | 'decision'>,
  { issuer, cell, now }: { readonly issuer: string; readonly cell: number; readonly now: Date },
): DraftToken {
  const { access, validUntil } = decision;
  const grantsPush = access.some(({ actions }) => actions.includes('push') || actions.includes('*'));
  const ttlSeconds = lifeOf(service, facts, grantsPush);
  const claims = buildClaims({
    issuer,
    service: service.name,
    cell,
    subject,
    access,
    now,
    ttlSeconds,
    validUntil,
    tokenId: randomUUID(),
  });
  return { claims, endsEarly: claims.exp < Math.floor(now.getTime() / 1000) + ttlSeconds };
}

/** In seconds. A setting of the directory counts where the service sets no life of its own. */
function lifeOf(service: ServiceSettings, { instance }: Facts, grantsPush: boolean): number {
  const { ttlOfDirectory, tokenTtlSeconds, pushTtlSeconds } = service;
  const own = grantsPush ? pushTtlSeconds : tokenTtlSeconds;
  const isOpen = grantsPush ? ttlOfDirectory?.push : ttlOfDirectory?.token;
  return isOpen ? (instance.tokenTtlSeconds ?? own) : own;
}
