import type { RequestListener, Server } from 'node:http';
import { createAdminApp, createApp } from '../app.ts';
import { createPasswordHasher } from '../authn/password.ts';
import type { Config } from '../config.ts';
import { applyDirectory } from '../directory/apply.ts';
import { exportDirectory } from '../directory/export.ts';
import { CellpassError } from '../errors.ts';
import type { Log } from '../http/access-log.ts';
import { listenOnSocket, makeDataDir } from '../http/admin-socket.ts';
import { createClientAddressReader } from '../http/client-address.ts';
import { loadContract } from '../http/contract.ts';
import { createRefusalLog } from '../http/refusals.ts';
import { createHttpServer, listenOnTcp, readTls, reloadTls } from '../http/server.ts';
import { createKeyring, type Keyring } from '../keys/keyring.ts';
import { loadMasterKey } from '../keys/master-key.ts';
import { findSubject } from '../store/accounts.ts';
import { deleteJobToken, putJobToken } from '../store/directory.ts';
import type { Database } from '../store/drivers.ts';
import { migrate, pendingMigrations } from '../store/migrate.ts';
import { PostgresStore } from '../store/postgres.ts';
import { findRefusal, forgetRefusals, type Retention, saveRefusals } from '../store/refusals.ts';
import { createUserClaims } from '../token/user-claim.ts';
import { adminSocketPath, openDatabase } from './database.ts';

/** A running server. */
export interface RunningServer {
  readonly publicUrl: string;
  /** Reads the TLS certificate and key again; throws, and keeps the old ones, when they are wrong. False without TLS. */
  reload(): boolean;
  /** Answers what has begun, takes nothing new, and gives everything back. */
  close(): Promise<void>;
}

const DRAIN_MS = 10_000;
const now = (): Date => new Date();

/**
 * Opens the admin socket first, which holds the data directory; then the database, the keys, and last the public listener.
 * Whatever fails on the way, what was opened is closed again.
 */
export async function startServer(config: Config, log: Log): Promise<RunningServer> {
  const opened: (() => Promise<void>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of opened.splice(0).reverse()) await close();
  };
  try {
    return await open(config, log, opened, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function open(
  config: Config,
  log: Log,
  opened: (() => Promise<void>)[],
  closeAll: () => Promise<void>,
): Promise<RunningServer> {
  const draining = { now: false };
  const socketPath = adminSocketPath(config);
  // What can be seen to be wrong at once is refused before anything is made.
  if (config.tls !== null) readTls(config.tls);
  makeDataDir(config.dataDir);
  const admin = createSwitchable();
  const adminServer = createHttpServer(admin.listener, { headerBytes: config.limits.headerBytes, tls: null });
  await listenOnSocket(adminServer, socketPath);
  opened.push(() => closeServer(adminServer));

  const database = await openDatabase(config, log);
  opened.push(() => database.close());
  await prepareDatabase(config, database, log);
  const store = new PostgresStore(database);
  await store.claimForCell(config.cell);
  const keyring = await openKeyring(config, store, log);
  opened.push(() => keyring.close());
  const passwords = await createPasswordHasher({
    lanes: config.limits.argon2Lanes,
    queue: config.limits.argon2Queue,
  });

  const refusals = createRefusalLog({
    save: (batch) => saveRefusals(database, batch),
    forget: () => forgetRefusals(database, retentionOf(config), now()),
    log,
  });
  opened.push(() => refusals.close());

  const common = {
    keyring,
    propagationSeconds: config.keys.propagationSeconds,
    readiness: { check: () => checkReady(store, keyring), isDraining: () => draining.now },
    log,
    readClientAddress: createClientAddressReader(config.trustedProxies),
  };
  const app = createApp({
    ...common,
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
  });
  admin.switchTo(
    createAdminApp({
      ...common,
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
    }).callback(),
  );
  const publicServer = createHttpServer(app.callback(), {
    headerBytes: config.limits.headerBytes,
    tls: config.tls,
  });
  const port = await listenOnTcp(publicServer, config.listen);
  opened.push(() => closeServer(publicServer));
  return {
    publicUrl: config.publicUrl ?? listenerUrl(config, port),
    reload: () => {
      if (config.tls !== null) reloadTls(publicServer, config.tls);
      return config.tls !== null;
    },
    close: async () => {
      draining.now = true;
      await closeAll();
    },
  };
}

async function prepareDatabase(config: Config, database: Database, log: Log): Promise<void> {
  if (config.migrate) {
    const applied = await migrate(database);
    if (applied.length > 0) log.info({ migrations: applied }, 'migrated the database');
    return;
  }
  const pending = await pendingMigrations(database);
  if (pending.length === 0) return;
  throw new CellpassError(
    'conflict',
    `the database needs migrations (${pending.join(', ')}) and CELLPASS_MIGRATE is false: run "cellpass migrate" first`,
  );
}

async function openKeyring(config: Config, store: PostgresStore, log: Log): Promise<Keyring> {
  const { keys, authorities } = await store.readKeySet();
  const mayCreate = keys.length === 0 && authorities.length === 0;
  const { masterKey, warnings } = await loadMasterKey(config.keysDir, { mayCreate });
  for (const warning of warnings) log.warn({}, warning);
  return createKeyring({
    store,
    masterKey,
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: userClaimTtlSeconds(config),
    log,
  });
}

async function checkReady(store: PostgresStore, keyring: Keyring): Promise<void> {
  keyring.active();
  await store.ping();
}

function retentionOf({ retention }: Config): Retention {
  return { days: retention.refusalDays, bytes: retention.refusalBytes };
}

/** Twice the longest token's, so that one nested JWT serves many tokens. */
function userClaimTtlSeconds({ services }: Config): number {
  return (
    2 *
    Math.max(...services.flatMap(({ tokenTtlSeconds, pushTtlSeconds }) => [tokenTtlSeconds, pushTtlSeconds]))
  );
}

function listenerUrl(config: Config, port: number): string {
  const { host } = config.listen;
  return `${config.tls === null ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The admin socket listens before there is anything to answer with. */
function createSwitchable(): {
  readonly listener: RequestListener;
  switchTo(listener: RequestListener): void;
} {
  let current: RequestListener = (_request, response) => {
    response.writeHead(503, { 'Retry-After': '1', 'Content-Length': '0' }).end();
  };
  return {
    listener: (request, response) => current(request, response),
    switchTo: (listener) => {
      current = listener;
    },
  };
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const overdue = setTimeout(() => server.closeAllConnections(), DRAIN_MS);
    server.close(() => {
      clearTimeout(overdue);
      resolve();
    });
    server.closeIdleConnections();
  });
}
