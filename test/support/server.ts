import { randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import request, { type Test } from 'supertest';
import { createAdminApp, createApp } from '../../src/app.ts';
import { createPasswordHasher, type PasswordHasher } from '../../src/authn/password.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { applyDirectory } from '../../src/directory/apply.ts';
import { exportDirectory } from '../../src/directory/export.ts';
import type { Log } from '../../src/http/access-log.ts';
import { createClientAddressReader } from '../../src/http/client-address.ts';
import { loadContract } from '../../src/http/contract.ts';
import { createRefusalLog } from '../../src/http/refusals.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { createKeyring, type Keyring } from '../../src/keys/keyring.ts';
import { createMasterKey } from '../../src/keys/master-key.ts';
import type { AccessEntry } from '../../src/policy/grant.ts';
import { findSubject } from '../../src/store/accounts.ts';
import { deleteJobToken, putJobToken } from '../../src/store/directory.ts';
import { type Database, openPostgres } from '../../src/store/drivers.ts';
import { migrate } from '../../src/store/migrate.ts';
import { PostgresStore } from '../../src/store/postgres.ts';
import { findRefusal, saveRefusals } from '../../src/store/refusals.ts';
import { createUserClaims } from '../../src/token/user-claim.ts';
import { watched } from './contract.ts';
import { sharedPostgres } from './postgres.ts';

/** A claim set as a registry sees it. */
export type Claims = JWTPayload & {
  readonly access: readonly AccessEntry[];
  readonly auth_type: string;
  readonly user: string;
  readonly cell: string;
};

/** The whole service in this process, on real PostgreSQL, with every answer held against the contract. */
export interface TestServer {
  readonly database: Database;
  readonly app: Server;
  readonly admin: Server;
  readonly keyring: Keyring;
  /** Empty where a test brings a log of its own. */
  readonly log: readonly Record<string, unknown>[];
  /** Applies a directory document, given as text or as the data it would hold. */
  apply(document: string | object, options?: { readonly prune?: boolean }): Promise<void>;
  /** `GET /jwt/auth` for the default service. */
  ask(options?: Ask): Test;
  /** Verifies as a registry would, by the published JWK Set. `audience` null: a JWT that has none. */
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
  readonly now?: () => Date;
  readonly openDatabase?: () => Promise<Database>;
  readonly log?: Log;
  readonly isDraining?: () => boolean;
}

/** Requests come from loopback, which counts as a trusted proxy here: a test says its address by `X-Forwarded-For`. */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  const now = options.now ?? (() => new Date());
  const config = loadConfig({ CELLPASS_TRUSTED_PROXIES: '127.0.0.0/8,::1/128', ...options.environment });
  const services = options.services ?? config.services;
  const database = await (options.openDatabase ?? openFreshPostgres)();
  await migrate(database);
  const store = new PostgresStore(database);
  const passwords = await createPasswordHasher();
  const lines: Record<string, unknown>[] = [];
  const log = options.log ?? recordingLog(lines);
  const ttlSeconds =
    2 * Math.max(...services.flatMap((service) => [service.tokenTtlSeconds, service.pushTtlSeconds]));
  const keyring = await createKeyring({
    store,
    masterKey: await createMasterKey(randomBytes(32), 'the test key'),
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: ttlSeconds,
    log,
  });
  const refusals = createRefusalLog({
    save: (batch) => saveRefusals(database, batch),
    forget: async () => undefined,
    log: log,
  });
  const common = {
    keyring,
    propagationSeconds: config.keys.propagationSeconds,
    readiness: {
      check: async () => {
        keyring.active();
        await store.ping();
      },
      isDraining: options.isDraining ?? (() => false),
    },
    log,
    readClientAddress: createClientAddressReader(config.trustedProxies),
  };
  const app = createApp({
    ...common,
    token: {
      authenticator: { lookup: store, passwords },
      findFacts: (subject, paths) => store.findFacts(subject, paths),
      keyring,
      userClaims: createUserClaims({ now, ttlSeconds }),
      issuer: config.issuer,
      cell: config.cell,
      services: new Map(services.map((service) => [service.name, service])),
      limits: config.limits,
    },
    refusals,
    now,
  });
  const directory = directoryOf(database, passwords, now);
  const admin = createAdminApp({
    ...common,
    contract: loadContract(),
    directory,
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
  });
  const serverOptions = { headerBytes: config.limits.headerBytes, tls: null };
  const appServer = await listen(createHttpServer(watched(app.callback()), serverOptions));
  const adminServer = await listen(createHttpServer(watched(admin.callback()), serverOptions));
  return {
    database,
    app: appServer,
    admin: adminServer,
    keyring,
    log: lines,
    apply: async (document, { prune = false } = {}) => {
      const text = typeof document === 'string' ? document : JSON.stringify({ version: 1, ...document });
      await directory.apply(text, { prune });
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
      await refusals.close();
      await keyring.close();
      await database.close();
    },
  };
}

async function openFreshPostgres(): Promise<Database> {
  return openPostgres(await (await sharedPostgres()).createDatabase());
}

function directoryOf(database: Database, passwords: PasswordHasher, now: () => Date) {
  return {
    apply: (document: string, options: { readonly prune: boolean }) =>
      applyDirectory({ database, passwords, now }, document, options),
    export: () => exportDirectory(database),
  };
}

function listen(server: Server): Promise<Server> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
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
