import { type AdminDeps, createAdminApp, createApp, type PublicDeps } from '../app.ts';
import { createPasswordHasher } from '../authn/password.ts';
import type { Config } from '../config.ts';
import { applyDirectory } from '../directory/apply.ts';
import { exportDirectory } from '../directory/export.ts';
import type { Log } from '../http/access-log.ts';
import type { DirectoryResource } from '../http/admin/directory.ts';
import { createClientAddressReader } from '../http/client-address.ts';
import { loadContract } from '../http/contract.ts';
import { createRefusalLog, type RefusalLog } from '../http/refusals.ts';
import { createKeyring, type Keyring } from '../keys/keyring.ts';
import type { MasterKey } from '../keys/master-key.ts';
import { findSubject } from '../store/accounts.ts';
import { deleteJobToken, putJobToken } from '../store/directory.ts';
import type { Database } from '../store/drivers.ts';
import { PostgresStore } from '../store/postgres.ts';
import { findRefusal, forgetRefusals, saveRefusals } from '../store/refusals.ts';
import { createUserClaims } from '../token/user-claim.ts';

/** What a server is made of, once its surroundings are open. */
export interface Parts {
  readonly config: Config;
  /** Migrated. */
  readonly database: Database;
  readonly masterKey: MasterKey;
  readonly log: Log;
  readonly now: () => Date;
  readonly isDraining: () => boolean;
}

export interface Assembly {
  readonly app: ReturnType<typeof createApp>;
  readonly admin: ReturnType<typeof createAdminApp>;
  readonly keyring: Keyring;
  readonly directory: DirectoryResource;
  /** Ends what runs in the background; the database stays open. */
  close(): Promise<void>;
}

/** Wires everything together: the one place where it is. */
export async function assemble(parts: Parts): Promise<Assembly> {
  const { config, database, masterKey, log, now } = parts;
  const store = new PostgresStore(database);
  const longestTokenLifeSeconds = userClaimTtlSeconds(config);
  const { leafHours } = config.keys;
  const keyring = await createKeyring({
    store,
    masterKey,
    now,
    cellId: config.cell,
    leafHours,
    longestTokenLifeSeconds,
    log,
  });
  const refusals = createRefusalLog({
    save: (batch) => saveRefusals(database, batch),
    forget: () =>
      forgetRefusals(
        database,
        { days: config.retention.refusalDays, bytes: config.retention.refusalBytes },
        now(),
      ),
    log,
  });
  const deps = await createDeps(parts, store, keyring, refusals);
  return {
    app: createApp(deps),
    admin: createAdminApp(deps),
    keyring,
    directory: deps.directory,
    close: async () => {
      await refusals.close();
      await keyring.close();
    },
  };
}

async function createDeps(
  { config, database, log, now, isDraining }: Parts,
  store: PostgresStore,
  keyring: Keyring,
  refusals: RefusalLog,
): Promise<PublicDeps & AdminDeps> {
  const { argon2Lanes: lanes, argon2Queue: queue } = config.limits;
  const passwords = await createPasswordHasher({ lanes, queue });
  return {
    keyring,
    propagationSeconds: config.keys.propagationSeconds,
    readiness: { check: () => checkReady(store, keyring), isDraining },
    log,
    readClientAddress: createClientAddressReader(config.trustedProxies),
    token: {
      authenticator: { lookup: store, passwords },
      findFacts: (subject, paths) => store.findFacts(subject, paths),
      keyring,
      userClaims: createUserClaims({ now, ttlSeconds: userClaimTtlSeconds(config) }),
      issuer: config.issuer,
      cell: config.cell,
      services: new Map(config.services.map((service) => [service.name, service])),
      limits: config.limits,
    },
    refusals,
    now,
    contract: loadContract(),
    directory: {
      apply: (document, options) => applyDirectory({ database, passwords, now }, document, options),
      export: () => exportDirectory(database),
    },
    jobTokens: {
      putJobToken: (token) => putJobToken(database, token),
      deleteJobToken: (id) => deleteJobToken(database, id),
    },
    keyStore: store,
    explain: {
      findSubject: (question) => findSubject(database, question),
      findFacts: (subject, paths) => store.findFacts(subject, paths),
      findRefusal: async (id) => {
        await refusals.flush();
        return findRefusal(database, id);
      },
      now,
    },
  };
}

async function checkReady(store: PostgresStore, keyring: Keyring): Promise<void> {
  keyring.active();
  await store.ping();
}

/** Twice the longest token's, so that one nested JWT serves many tokens. It is the longest life of anything that a key signs. */
function userClaimTtlSeconds({ services }: Config): number {
  return (
    2 *
    Math.max(...services.flatMap(({ tokenTtlSeconds, pushTtlSeconds }) => [tokenTtlSeconds, pushTtlSeconds]))
  );
}
