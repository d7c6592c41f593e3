import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import request, { type Test } from 'supertest';
import type { PasswordHashing } from '../../src/authn/password-schemes.ts';
import { type Config, loadConfig } from '../../src/config/load.ts';
import type { RailsRules } from '../../src/config/rails.ts';
import { createHttpServer } from '../../src/http/listener/server.ts';
import type { Keyring } from '../../src/keys/keyring.ts';
import { createMasterKey, type MasterKey, type RotatableMasterKey } from '../../src/keys/master-key.ts';
import type { Log } from '../../src/log.ts';
import type { AccessEntry } from '../../src/policy/grant.ts';
import type { Schedule } from '../../src/rotation/schedule.ts';
import { assembleServer } from '../../src/server/assemble.ts';
import type { ServerInputs } from '../../src/server/assembly/inputs.ts';
import { type Closers, closeAll } from '../../src/server/closers.ts';
import type { OpenGitlab } from '../../src/server/open-gitlab.ts';
import type { Database } from '../../src/store/database/drivers.ts';
import { migrate } from '../../src/store/database/migrate.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { watched } from './contract.ts';
import { sharedPostgres } from './database/postgres.ts';

/** A claim set as a registry sees it. */
export type Claims = JWTPayload & {
  readonly access: readonly AccessEntry[];
  readonly auth_type: string;
  readonly user: string;
  readonly cell: string;
};

/**
 * The whole server in this process, on PostgreSQL. Every answer is checked against the OpenAPI
 * document.
 */
export interface TestServer {
  readonly database: Database;
  readonly app: Server;
  readonly admin: Server;
  /** The admin API as it is served over TCP. */
  readonly remoteAdmin: Server;
  readonly keyring: Keyring;
  readonly schedule: Schedule;
  /** The log lines; empty if the test passes its own log. */
  readonly log: readonly Record<string, unknown>[];
  /** Applies a directory document, given as text or as the data it would hold. */
  apply(document: string | object, options?: { readonly prune?: boolean }): Promise<void>;
  /** Sends `GET /jwt/auth` for the default service. */
  ask(options?: Ask): Test;
  /**
   * Verifies as a registry does, with the published JWK Set. `audience` null: the JWT has none.
   */
  verify(token: string, options?: { readonly audience?: string | null }): Promise<Claims>;
  close(): Promise<void>;
}

export interface Ask {
  readonly as?: readonly [username: string, password: string];
  readonly scope?: string | readonly string[];
  readonly service?: string | null;
  readonly ip?: string;
}

export interface TestServerOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly services?: Config['services'];
  readonly limits?: Partial<Config['limits']>;
  readonly now?: () => Date;
  readonly monotonicMs?: () => number;
  readonly openDatabase?: () => Promise<Database>;
  /** Servers that share a database need the same master key. */
  readonly masterKey?: MasterKey;
  readonly log?: Log;
  /** The port of the public listener; default: a free one. */
  readonly port?: number;
  readonly topologyPollMs?: number;
  readonly isDraining?: () => boolean;
  /** The clock that is compared with the database's; default: the system's. */
  readonly machineClock?: ServerInputs['machineClock'];
  /** How passwords are hashed; default: for real, in this process. */
  readonly argon2id?: PasswordHashing;
  /** The rules beside GitLab Rails; default: those of the settings. */
  readonly railsRules?: () => RailsRules;
  /** How keys of issuers of ID tokens are fetched; default: over the network. */
  readonly fetchKeys?: ServerInputs['fetchKeys'];
  /** GitLab's database as the directory; the caller closes it. */
  readonly gitlab?: OpenGitlab;
}

/** Most tests send many wrong credentials, all from the same address. */
const PATIENT = { perAddress: 1_000_000, perAccount: 1_000_000, seconds: 180 };

/**
 * Starts a server that trusts loopback as a proxy, so that a test can set its client address with
 * `X-Forwarded-For`.
 */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const now = options.now ?? (() => new Date());
  const dataDir = await mkdtemp(join(tmpdir(), 'cellpass-server-'));
  const config = loadConfig({
    CELLPASS_TRUSTED_PROXIES: '127.0.0.0/8,::1/128',
    CELLPASS_DATA_DIR: dataDir,
    ...options.environment,
  });
  const database = await (options.openDatabase ?? openFreshPostgres)();
  // A test's own database may be empty.
  if (options.openDatabase !== undefined) await migrate(database);
  const lines: Record<string, unknown>[] = [];
  const closers: Closers = [];
  const inputs = {
    config: {
      ...config,
      services: options.services ?? config.services,
      limits: { ...config.limits, failedAttempts: PATIENT, ...options.limits },
    },
    database,
    masterKey: inMemory(options.masterKey ?? (await createMasterKey(randomBytes(32), 'the test key'))),
    log: options.log ?? recordingLog(lines),
    now,
    isDraining: options.isDraining ?? (() => false),
    ...(options.monotonicMs && { monotonicMs: options.monotonicMs }),
    ...(options.machineClock && { machineClock: options.machineClock }),
    ...(options.topologyPollMs && { topologyPollMs: options.topologyPollMs }),
    ...(options.argon2id && { argon2id: options.argon2id }),
    ...(options.fetchKeys && { fetchKeys: options.fetchKeys }),
    ...(options.gitlab && { gitlab: options.gitlab }),
    ...(options.railsRules && { railsRules: options.railsRules }),
  };
  const assembly = await assembleServer(inputs, closers);
  const { app, admin, remoteAdmin, keyring, schedule, directory } = assembly;
  const serverOptions = { headerBytes: config.limits.headerBytes, tls: null };
  const appServer = await listen(createHttpServer(watched(app.callback()), serverOptions), options.port);
  const adminServer = await listen(createHttpServer(watched(admin.callback()), serverOptions));
  const remoteServer = await listen(createHttpServer(watched(remoteAdmin.callback()), serverOptions));
  return {
    database,
    app: appServer,
    admin: adminServer,
    remoteAdmin: remoteServer,
    keyring,
    schedule,
    log: lines,
    apply: async (document, { prune = false } = {}) => {
      const text = typeof document === 'string' ? document : JSON.stringify({ version: 1, ...document });
      await directory.apply(text, { prune, who: 'a test' });
    },
    ask: (asked = {}) => ask(appServer, asked),
    verify: async (token, { audience = 'container_registry' } = {}) => {
      const jwks: JSONWebKeySet = JSON.parse(keyring.published().body);
      const verified = await jwtVerify(token, createLocalJWKSet(jwks), {
        ...(audience !== null && { issuer: config.issuer, audience }),
        algorithms: ['RS256'],
        typ: 'JWT',
        currentDate: now(),
      });
      return verified.payload as Claims;
    },
    close: async () => {
      appServer.close();
      adminServer.close();
      remoteServer.close();
      await closeAll(closers);
      await database.close();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

/** A master key in memory, not in a file. */
function inMemory(first: MasterKey): RotatableMasterKey {
  let current = first;
  let next = first;
  return {
    encrypt: (kid, plaintext) => current.encrypt(kid, plaintext),
    decrypt: (kid, jwe) => current.decrypt(kid, jwe),
    prepareNext: async () => {
      next = await createMasterKey(randomBytes(32), 'the next test key');
      return next;
    },
    adoptNext: async () => {
      current = next;
      return 'adopted';
    },
  };
}

async function openFreshPostgres(): Promise<Database> {
  return openPostgres(await (await sharedPostgres()).createMigratedDatabase());
}

function listen(server: Server, port = 0): Promise<Server> {
  return new Promise((resolve) => server.listen(port, '127.0.0.1', () => resolve(server)));
}

function ask(server: Server, { as, scope, service = 'container_registry', ip }: Ask): Test {
  const query = new URLSearchParams(service === null ? {} : { service });
  for (const value of scope === undefined ? [] : [scope].flat()) query.append('scope', value);
  const { port } = server.address() as AddressInfo;
  let test = request(`http://127.0.0.1:${port}`).get(`/jwt/auth?${query}`);
  if (as !== undefined) test = test.auth(...as);
  return ip === undefined ? test : test.set('X-Forwarded-For', ip);
}

function recordingLog(lines: Record<string, unknown>[]): Log {
  const record = (level: string) => (fields: object, message: string) => {
    lines.push({ level, message, ...fields });
  };
  return { debug: record('debug'), info: record('info'), warn: record('warn'), error: record('error') };
}
