import type { Context, Middleware } from 'koa';
import type { IssuerKeyStats } from '../../authn/federation/issuer-keys.ts';
import { LEEWAY_SECONDS } from '../../authn/federation/verify.ts';
import type { FederationSettings } from '../../config/federation.ts';
import { CellpassError } from '../../errors.ts';
import type { RevocationFile } from '../../records/revocation-file.ts';
import type { ListedIdentity } from '../../store/federation/identities.ts';
import type { IdTokenName } from '../../store/federation/revocations.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import type {
  IdentityPageView,
  IdentityRevocationView,
  IdentityView,
  IdTokenRevocationView,
  IssuerListView,
} from '../types.ts';
import { note } from './note-revocation.ts';
import { LONGEST_PAGE } from './parameters.ts';

/** Login by ID tokens, where the settings name an issuer. */
export interface FederationResource {
  readonly settings: Pick<FederationSettings, 'issuers' | 'maxLifetimeSeconds'>;
  /** How the keys of each issuer are. */
  keys(): readonly IssuerKeyStats[];
  /** In the order of their names, those after `after`. */
  list(after: string, limit: number): Promise<readonly ListedIdentity[]>;
  /** Resolves with the number of access tokens that ended with it; null: there is no such identity. */
  revokeIdentity(name: string): Promise<number | null>;
  /** False: it was not revoked. */
  restoreIdentity(name: string): Promise<boolean>;
  revokeIdToken(token: IdTokenName, keptUntil: Date): Promise<number>;
  now(): Date;
}

export interface FederationRoutes {
  readonly issuers: Middleware;
  readonly identities: Middleware;
  readonly revoke: Middleware;
  readonly restore: Middleware;
  readonly revokeIdToken: Middleware;
}

/** @param resource null: the settings name no issuer, and every route says so. */
export function federationRoutes(
  contract: Contract,
  resource: FederationResource | null,
  revocations: RevocationFile,
): FederationRoutes {
  const parameters = {
    list: contract.parametersOf('listIdentities'),
    revoke: contract.parametersOf('revokeIdentity'),
    restore: contract.parametersOf('restoreIdentity'),
  };
  const answer =
    (work: (ctx: Context, federation: FederationResource) => Promise<object> | object): Middleware =>
    async (ctx) => {
      if (resource === null) {
        throw new CellpassError(
          'conflict',
          'no issuer of ID tokens is configured: name one under federation in the file of CELLPASS_CONFIG',
        );
      }
      ctx.body = await work(ctx, resource);
    };
  return {
    issuers: answer((_, federation) => listIssuers(federation)),
    identities: answer((ctx, federation) => {
      const { after = '', limit = LONGEST_PAGE } = parameters.list(ctx).query ?? {};
      return listPage(federation, after, limit);
    }),
    revoke: answer(async (ctx, federation) => {
      const { name } = parameters.revoke(ctx).path;
      const revoked = await revoke(federation, name);
      return { ...revoked, ...(await note(revocations, ctx, [{ kind: 'identity', name }])) };
    }),
    restore: answer(async (ctx, federation) => {
      const { name } = parameters.restore(ctx).path;
      const restored = await restore(federation, name);
      return { ...restored, ...(await note(revocations, ctx, [{ kind: 'identity_restored', name }])) };
    }),
    revokeIdToken: answer(async (ctx, federation) => {
      const revoked = await revokeOne(federation, contract.parseRevokeIdToken(await readJson(ctx.req)));
      const { issuer, jti, kept_until } = revoked;
      return {
        ...revoked,
        ...(await note(revocations, ctx, [{ kind: 'id_token', issuer, jti, kept_until }])),
      };
    }),
  };
}

function listIssuers({ settings, keys }: FederationResource): IssuerListView {
  const stats = new Map(keys().map((one) => [one.name, one]));
  return {
    issuers: settings.issuers.map(({ name, issuer, preset, audience, algorithms, mustPin }) => ({
      name,
      issuer,
      preset,
      audience,
      algorithms: [...algorithms],
      must_pin: [...mustPin],
      keys: stats.get(name)?.keys ?? 0,
      age_seconds: stats.get(name)?.ageSeconds ?? null,
      problem: stats.get(name)?.problem ?? null,
    })),
  };
}

async function listPage(
  federation: FederationResource,
  after: string,
  limit: number,
): Promise<IdentityPageView> {
  const found = await federation.list(after, limit + 1);
  const page = found.slice(0, limit);
  return {
    identities: page.map(toView),
    next: found.length > limit ? (page.at(-1)?.name ?? null) : null,
  };
}

function toView({ expiresOn, revokedAt, scopes, claims, ...same }: ListedIdentity): IdentityView {
  return {
    ...same,
    scopes: [...scopes],
    claims: { ...claims },
    expires_at: expiresOn,
    revoked_at: revokedAt?.toISOString() ?? null,
  };
}

async function revoke(federation: FederationResource, name: string): Promise<IdentityRevocationView> {
  const ended = await federation.revokeIdentity(name);
  if (ended === null) {
    throw new CellpassError(
      'not_found',
      `there is no identity ${name}: "cellpass federation list" shows them`,
    );
  }
  return { name, revoked: true, ended_tokens: ended };
}

async function restore(federation: FederationResource, name: string): Promise<IdentityRevocationView> {
  if (!(await federation.restoreIdentity(name)))
    throw new CellpassError('not_found', `the identity ${name} is not revoked`);
  return { name, revoked: false, ended_tokens: 0 };
}

/**
 * Kept as long as an ID token may live that begins when the verifier's leeway ends, because its own
 * end is not known here.
 */
async function revokeOne(federation: FederationResource, token: IdTokenName): Promise<IdTokenRevocationView> {
  const { issuers, maxLifetimeSeconds } = federation.settings;
  if (!issuers.some(({ name }) => name === token.issuer)) {
    const known = issuers.map(({ name }) => name).join(', ');
    throw new CellpassError('not_found', `there is no issuer ${token.issuer}: the settings name ${known}`);
  }
  const keptUntil = new Date(federation.now().getTime() + (maxLifetimeSeconds + LEEWAY_SECONDS) * 1000);
  const ended = await federation.revokeIdToken(token, keptUntil);
  return { ...token, kept_until: keptUntil.toISOString(), ended_tokens: ended };
}
