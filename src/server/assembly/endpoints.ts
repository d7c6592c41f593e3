import type { AdminDeps, PublicDeps } from '../../app.ts';
import type { PasswordHasher } from '../../authn/password.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { CurrentTopology } from '../../cells/current-topology.ts';
import { longestTokenLifeSeconds } from '../../config/periods.ts';
import { applyDirectory } from '../../directory/apply.ts';
import { exportDirectory } from '../../directory/export/directory.ts';
import { mintToken } from '../../directory/tokens/mint.ts';
import { readTokenPage } from '../../directory/tokens/page.ts';
import { createClientAddressReader } from '../../http/client-address.ts';
import { loadContract } from '../../http/contract.ts';
import type { MetricsReport } from '../../http/metrics/report.ts';
import type { RequestMetrics } from '../../http/metrics/requests.ts';
import type { TokenEndpoint } from '../../http/token/endpoint.ts';
import type { Forwarder } from '../../http/token/forward.ts';
import type { Keyring } from '../../keys/keyring.ts';
import {
  createAdminToken,
  listAdminTokens,
  recogniseAdminToken,
  revokeAdminToken,
} from '../../store/admin-tokens.ts';
import { deleteJobToken, putJobToken } from '../../store/directory/job-tokens.ts';
import { revokeToken } from '../../store/directory/tokens.ts';
import { searchIssuedTokens } from '../../store/records/issued-token-search.ts';
import { findRefusal } from '../../store/records/refusals.ts';
import type { RememberingSource } from '../../store/source/remembered.ts';
import { createReuse } from '../../token/reuse.ts';
import { createUserClaims } from '../../token/user-claim.ts';
import type { KeyParts } from './keys.ts';
import type { Parts } from './parts.ts';
import type { Records } from './records.ts';

/** What the endpoints reach. */
export interface Reach extends Omit<KeyParts, 'schedule' | 'close'>, Omit<Records, 'close'> {
  readonly source: RememberingSource;
  readonly passwords: PasswordHasher;
  readonly cells: CurrentTopology;
  readonly forwarder: Forwarder;
  readonly requests: RequestMetrics;
  readonly metrics: MetricsReport;
}

/** The dependencies of `app.ts`: which endpoint asks whom. */
export function endpointsOf(parts: Parts, reach: Reach): PublicDeps & AdminDeps {
  const { config, database, log, now, isDraining } = parts;
  const { source, keyring, passwords } = reach;
  return {
    keyring,
    propagationSeconds: config.keys.propagationSeconds,
    readiness: { check: () => checkReady(source, keyring), isDraining },
    log,
    requests: reach.requests,
    metrics: reach.metrics,
    readClientAddress: createClientAddressReader(config.trustedProxies),
    now,
    token: tokenEndpointOf(parts, reach),
    refusals: reach.refusals,
    lastUse: reach.lastUse,
    audit: reach.audit,
    contract: loadContract(),
    directory: {
      apply: (document, options) => applyDirectory({ database, passwords, now }, document, options),
      export: () => exportDirectory(database),
    },
    jobTokens: {
      putJobToken: (token) => putJobToken(database, token),
      deleteJobToken: (id) => deleteJobToken(database, id),
    },
    tokens: tokensOf(parts, reach),
    issuedTokens: {
      search: async (question) => {
        await reach.audit.flush();
        return searchIssuedTokens(database, question);
      },
      now,
    },
    adminTokens: {
      recognise: (digest) => recogniseAdminToken(database, digest, now()),
      create: (token) => createAdminToken(database, token),
      list: () => listAdminTokens(database),
      revoke: (id, actor) => revokeAdminToken(database, id, { actor, now: now() }),
      now,
    },
    keys: reach.keys,
    authorities: reach.authorities,
    explain: explainOf(parts, reach),
  };
}

function tokenEndpointOf(
  { config, now }: Parts,
  { source, keyring, passwords, failedAttempts, cells, forwarder, requests }: Reach,
): TokenEndpoint {
  return {
    cells: () => cells.view(),
    forwarder,
    authenticator: { passwords, failedAttempts },
    source,
    keyring,
    signOrReuse: createReuse(),
    userClaims: createUserClaims({ now, ttlSeconds: longestTokenLifeSeconds(config.services) }),
    issuer: config.issuer,
    services: new Map(config.services.map((service) => [service.name, service])),
    limits: config.limits,
    timed: requests.timed,
  };
}

function tokensOf({ config, database, now }: Parts, { cells, lastUse }: Reach): AdminDeps['tokens'] {
  return {
    mint: (order) => mintToken({ database, now, cell: config.cell, isLegacy: () => isLegacy(cells) }, order),
    list: async (question) => {
      await lastUse.flush();
      // In a transaction, which gets more time than what a client waits for.
      return database.transaction((sql) => readTokenPage(sql, question));
    },
    revoke: (key) => revokeToken(database, key, now()),
  };
}

function isLegacy(cells: CurrentTopology): boolean {
  const { topology, self } = cells.view();
  return topology.cells.some(({ id, legacy }) => id === self && legacy);
}

function explainOf({ database, now }: Parts, { source, refusals }: Reach): AdminDeps['explain'] {
  return {
    source,
    findRefusal: async (id) => {
      await refusals.flush();
      return findRefusal(database, id);
    },
    now,
  };
}

async function checkReady(source: DirectorySource, keyring: Keyring): Promise<void> {
  keyring.active();
  await source.ping();
}
