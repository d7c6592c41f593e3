import { fetchKeys } from '../../authn/federation/fetch-keys.ts';
import { createIssuerKeys, type IssuerKeys } from '../../authn/federation/issuer-keys.ts';
import { createIdTokenVerifier, type IdTokenVerifier } from '../../authn/federation/verify.ts';
import type { ClaimPins } from '../../config/federated-claims.ts';
import type { ConfiguredIdentity, FederationSettings } from '../../config/federation.ts';
import { exchangeIdToken } from '../../directory/tokens/exchange.ts';
import type { FederationResource } from '../../http/admin/federation.ts';
import type { TokenEndpoint } from '../../http/token/endpoint.ts';
import type { Keyring } from '../../keys/keyring.ts';
import type { Database } from '../../store/database/drivers.ts';
import { type ListedIdentity, listIdentities, revokedSince } from '../../store/federation/identities.ts';
import {
  restoreIdentity,
  revokeConfiguredIdentity,
  revokeIdentity,
  revokeIdToken,
} from '../../store/federation/revocations.ts';
import type { Closers } from '../closers.ts';
import { clockOf, type ServerInputs } from './inputs.ts';

/** Login by the ID tokens of other issuers. */
export interface Federation {
  readonly settings: FederationSettings;
  readonly issuerKeys: IssuerKeys;
  readonly idTokens: IdTokenVerifier;
}

/** Begins to fetch the issuers' keys; null: the settings name no issuer. */
export function openFederation(
  inputs: ServerInputs,
  keyring: Pick<Keyring, 'published'>,
  closers: Closers,
): Federation | null {
  const { config, log } = inputs;
  const settings = config.federation;
  if (settings === null) return null;
  const issuerKeys = createIssuerKeys({
    issuers: settings.issuers,
    fetchKeys: inputs.fetchKeys ?? fetchKeys,
    // Each key is listed under its thumbprint, too.
    ownThumbprints: () => new Set(keyring.published().jwks.keys.map(({ kid }) => kid)),
    log,
    ...clockOf(inputs),
  });
  closers.push(async () => issuerKeys.close());
  return { settings, issuerKeys, idTokens: createIdTokenVerifier({ ...settings, keys: issuerKeys }) };
}

/** Null: nothing is exchanged. GitLab alone makes the access tokens of its users. */
export function exchangeOf(
  { config, database, gitlab }: ServerInputs,
  federation: Federation | null,
): TokenEndpoint['exchange'] {
  if (federation === null || gitlab !== undefined) return null;
  const { exchangeTtlSeconds: ttlSeconds } = federation.settings;
  return (proven, call) => exchangeIdToken({ database, cell: config.cell, ttlSeconds }, proven, call);
}

export function federationResource(
  { database, gitlab, now }: ServerInputs,
  federation: Federation | null,
): FederationResource | null {
  if (federation === null) return null;
  const { settings, issuerKeys } = federation;
  const isOwn = gitlab === undefined;
  return {
    settings,
    keys: issuerKeys.stats,
    list: (after, limit) =>
      isOwn ? listIdentities(database, after, limit) : listConfigured(database, settings, after, limit),
    revokeIdentity: async (name) => {
      if (isOwn) return revokeIdentity(database, name, now());
      if (!settings.identities.some((one) => one.name === name)) return null;
      await revokeConfiguredIdentity(database, name, now());
      // No access token was exchanged by it: GitLab alone makes those of its users.
      return 0;
    },
    restoreIdentity: (name) => restoreIdentity(database, name),
    revokeIdToken: (token, keptUntil) => revokeIdToken(database, token, { now: now(), keptUntil }),
    now,
  };
}

/** The claims that the identities of the settings pin, by name. */
export function configuredClaims(
  federation: Pick<Federation, 'settings'> | null,
  issuer: string,
): ReadonlyMap<string, ClaimPins> {
  const identities = federation?.settings.identities ?? [];
  const ofIssuer = identities.filter((one) => one.issuer === issuer);
  return new Map(ofIssuer.map(({ name, claims }) => [name, claims]));
}

async function listConfigured(
  database: Pick<Database, 'query' | 'execute'>,
  { identities }: FederationSettings,
  after: string,
  limit: number,
): Promise<readonly ListedIdentity[]> {
  const page = identities
    .filter(({ name }) => name > after)
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    .slice(0, limit);
  const revoked = await revokedSince(
    database,
    page.map(({ name }) => name),
  );
  return page.map((one) => toListed(one, revoked.get(one.name) ?? null));
}

function toListed(identity: ConfiguredIdentity, revokedAt: Date | null): ListedIdentity {
  return { ...identity, project: null, group: null, revokedAt };
}
