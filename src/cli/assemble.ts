import { Registry as MetricsRegistry } from 'prom-client';
import {
  type AdminDeps,
  createAdminApp,
  createApp,
  createMetricsApp,
  createRemoteAdminApp,
  type PublicDeps,
} from '../app.ts';
import { createFailedAttempts, type FailedAttempts } from '../authn/failed-attempts.ts';
import { createPasswordHasher, type PasswordHasher } from '../authn/password.ts';
import { type CurrentTopology, openTopology } from '../cells/current-topology.ts';
import type { Config } from '../config.ts';
import { applyDirectory } from '../directory/apply.ts';
import { exportDirectory } from '../directory/export.ts';
import { mintToken } from '../directory/mint-token.ts';
import { readTokenPage } from '../directory/token-page.ts';
import type { Log } from '../http/access-log.ts';
import type { DirectoryResource } from '../http/admin/directory.ts';
import { type AuditLog, createAuditLog } from '../http/audit.ts';
import { createClientAddressReader } from '../http/client-address.ts';
import { loadContract } from '../http/contract.ts';
import { createForwarder, type Forwarder } from '../http/forward.ts';
import { createLastUse, type LastUse } from '../http/last-use.ts';
import { keyMetrics } from '../http/metrics/keys.ts';
import { reportOf, type Snapshot } from '../http/metrics/report.ts';
import { createRequestMetrics, type RequestMetrics } from '../http/metrics/requests.ts';
import { sourceMetrics } from '../http/metrics/sources.ts';
import { createRefusalLog, type RefusalLog } from '../http/refusals.ts';
import { KeyAdministration } from '../keys/administration.ts';
import { AuthorityAdministration } from '../keys/authority-administration.ts';
import { createKeyring, type Keyring } from '../keys/keyring.ts';
import type { RotatableMasterKey } from '../keys/master-key.ts';
import type { KeyPeriods } from '../keys/plan.ts';
import { createSchedule, SCHEDULE_ACTOR, type Schedule } from '../keys/schedule.ts';
import type { AdministrationOptions } from '../keys/workshop.ts';
import { daysToSeconds, longestTokenLifeSeconds } from '../periods.ts';
import { findSubject } from '../store/accounts.ts';
import {
  createAdminToken,
  listAdminTokens,
  recogniseAdminToken,
  revokeAdminToken,
} from '../store/admin-tokens.ts';
import { deleteJobToken, putJobToken } from '../store/directory.ts';
import type { Database } from '../store/drivers.ts';
import { createFailureCounter, forgetFailures } from '../store/failure-counter.ts';
import { createIssuedTokens } from '../store/issued-tokens.ts';
import { KEY_CHANNEL, ROTATION_LOCK } from '../store/keys.ts';
import { PostgresStore } from '../store/postgres.ts';
import { findRefusal, forgetRefusals, saveRefusals } from '../store/refusals.ts';
import { revokeToken, saveTokenUses } from '../store/tokens.ts';
import { createProbe, type Registry } from '../token/canary.ts';
import { createReuse } from '../token/reuse.ts';
import { createUserClaims } from '../token/user-claim.ts';
import { readVersion } from '../version.ts';

/** What a server is made of, once its surroundings are open. */
export interface Parts {
  readonly config: Config;
  /** Migrated. */
  readonly database: Database;
  readonly masterKey: RotatableMasterKey;
  readonly log: Log;
  readonly now: () => Date;
  /** Time that no clock setting changes; default: this process's. */
  readonly monotonicMs?: () => number;
  readonly isDraining: () => boolean;
  /** How often the topology's file is looked at. */
  readonly topologyPollMs?: number;
  /** What other processes of this server have counted. */
  readonly otherMetrics?: () => Promise<readonly Snapshot[]>;
}

export interface Assembly {
  readonly app: ReturnType<typeof createApp>;
  /** For the socket alone: it asks nobody for a token. */
  readonly admin: ReturnType<typeof createAdminApp>;
  readonly remoteAdmin: ReturnType<typeof createRemoteAdminApp>;
  readonly metrics: ReturnType<typeof createMetricsApp>;
  /** What this process counts. */
  readonly registry: MetricsRegistry;
  readonly keyring: Keyring;
  /** Rotation by itself; `start` begins it. */
  readonly schedule: Schedule;
  readonly directory: DirectoryResource;
  /** Ends what runs in the background; the database stays open. */
  close(): Promise<void>;
}

/** Wires everything together: the one place where it is. */
export async function assemble(parts: Parts): Promise<Assembly> {
  const { config, database, masterKey, log, now } = parts;
  const store = new PostgresStore(database);
  const keyring = await createKeyring({
    store,
    masterKey,
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    log,
    ...(parts.monotonicMs && { monotonicMs: parts.monotonicMs }),
  });
  const cells = openTopology({
    file: config.cellsFile,
    self: config.cell,
    publicUrl: config.publicUrl ?? '',
    log,
    ...(parts.topologyPollMs && { pollMs: parts.topologyPollMs }),
    ...(parts.monotonicMs && { monotonicMs: parts.monotonicMs }),
  });
  const registry = new MetricsRegistry();
  const requests = createRequestMetrics(registry);
  const forwarder = requests.measured(createForwarder());
  const stopListening = await database.listen(KEY_CHANNEL, () => refreshQuietly(keyring));
  const options = administrationOptions(parts, { store, keyring, cells });
  const administration = new KeyAdministration(options);
  const schedule = scheduleOf(parts, keyring, administration);
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
  const forgetting = setInterval(() => forgetFailuresQuietly(parts), FORGET_FAILURES_MS).unref();
  const audit = auditOf(parts);
  const { argon2Lanes: lanes, argon2Queue: queue } = config.limits;
  const passwords = await createPasswordHasher({ lanes, queue });
  const lastUse = createLastUse({
    save: (uses, granularityMs) => saveTokenUses(database, uses, granularityMs),
    log,
    ...(parts.monotonicMs && { monotonicMs: parts.monotonicMs }),
  });
  const failedAttempts = failedAttemptsOf(parts);
  const deps = createDeps(parts, store, {
    passwords,
    failedAttempts,
    keyring,
    keys: administration,
    authorities: new AuthorityAdministration(options),
    refusals,
    lastUse,
    audit,
    cells,
    forwarder,
    requests,
    metrics: reportOf(registry, parts.otherMetrics),
  });
  keyMetrics(registry, keyring, periodsOf(config));
  sourceMetrics(registry, {
    version: readVersion(),
    pool: () => database.poolUse(),
    lane: () => passwords.use(),
    lockouts: () => failedAttempts.lockouts(),
    audit: () => audit.use(),
    refusalsDropped: () => refusals.dropped(),
    topologyService: () => cells.serviceUse(),
  });
  return {
    app: createApp(deps),
    admin: createAdminApp(deps),
    remoteAdmin: createRemoteAdminApp(deps),
    metrics: createMetricsApp(deps),
    registry,
    keyring,
    schedule,
    directory: deps.directory,
    close: async () => {
      clearInterval(forgetting);
      await schedule.close();
      await stopListening();
      await refusals.close();
      await lastUse.close();
      await audit.close();
      await forwarder.close();
      await cells.close();
      await keyring.close();
    },
  };
}

const FORGET_FAILURES_MS = 60_000;

/** They are counted by the system's clock, whatever `now` says. */
function forgetFailuresQuietly({ database, log }: Parts): void {
  forgetFailures(database, new Date()).catch((error: unknown) =>
    log.warn({ err: error }, 'old failed attempts could not be forgotten'),
  );
}

function failedAttemptsOf({
  config,
  database,
  log,
  monotonicMs = () => performance.now(),
}: Parts): FailedAttempts {
  const { perAddress, perAccount, seconds } = config.limits.failedAttempts;
  return createFailedAttempts({
    counters: {
      address: createFailureCounter(database, { name: 'address', seconds }),
      account: createFailureCounter(database, { name: 'account', seconds }),
    },
    limits: { address: perAddress, account: perAccount },
    seconds,
    monotonicMs,
    onLockout: ({ by, network }) => log.warn({ by, network }, 'too many failed attempts'),
  });
}

/** A read that fails is tried again by the next poll, which says so in the log. */
function refreshQuietly(keyring: Keyring): void {
  keyring.refresh().catch(() => undefined);
}

function periodsOf({ keys }: Config): KeyPeriods {
  return {
    propagationSeconds: keys.propagationSeconds,
    rotateEverySeconds: daysToSeconds(keys.rotateEveryDays),
  };
}

function administrationOptions(
  { config, masterKey, now }: Parts,
  {
    store,
    keyring,
    cells,
  }: { readonly store: PostgresStore; readonly keyring: Keyring; readonly cells: CurrentTopology },
): AdministrationOptions {
  const services = new Map(config.services.map((service) => [service.name, service]));
  const toRegistry = ({
    name,
    url,
    service: serviceName,
  }: Config['registries'][number]): readonly Registry[] => {
    const service = services.get(serviceName);
    return service === undefined ? [] : [{ name, url, service }];
  };
  // The router refuses what no key of its own verifies, so it is asked like a registry.
  const registries = (): readonly Registry[] => {
    const { routerUrl } = cells.view().topology;
    const router =
      routerUrl === null ? [] : [{ name: 'router', url: routerUrl, service: firstService(config) }];
    return [
      ...config.registries.flatMap(toRegistry),
      ...router.flatMap(toRegistry).map((registry) => ({ ...registry, isRouter: true })),
    ];
  };
  return {
    store,
    keyring,
    masterKey,
    probe: createProbe({ registries, issuer: config.issuer, cell: config.cell, now }),
    now,
    cellId: config.cell,
    leafHours: config.keys.leafHours,
    longestTokenLifeSeconds: longestTokenLifeSeconds(config.services),
    periods: periodsOf(config),
  };
}

function firstService({ services: [first] }: Config): string {
  return first?.name ?? '';
}

/** Of the room for issued tokens, what anonymous clients can cause gets a tenth. */
const ANONYMOUS_PART = 0.1;

function auditOf({ config, database, log, now, monotonicMs }: Parts): AuditLog {
  const { auditDays: days, auditBytes } = config.retention;
  const anonymousBytes = Math.floor(auditBytes * ANONYMOUS_PART);
  const knownBytes = auditBytes - anonymousBytes;
  const issuedTokens = createIssuedTokens(database);
  const audit = createAuditLog({
    save: issuedTokens.save,
    trim: () => issuedTokens.trim({ days, knownBytes, anonymousBytes }, now()),
    mostBytes: { known: knownBytes, anonymous: anonymousBytes },
    log,
    ...(monotonicMs && { monotonicMs }),
  });
  return days === 0 ? { ...audit, add: () => undefined } : audit;
}

function scheduleOf(
  { config, database, now, log }: Parts,
  keyring: Keyring,
  administration: KeyAdministration,
): Schedule {
  return createSchedule({
    periods: periodsOf(config),
    currentSet: () => keyring.open().set,
    moment: () => ({ now: now(), skippedMsSince: keyring.clock.skippedMsSince }),
    exclusively: (work) => database.tryExclusively(ROTATION_LOCK, work),
    stage: () => administration.stage({ actor: SCHEDULE_ACTOR }),
    rotate: () => administration.rotate({ actor: SCHEDULE_ACTOR }),
    log,
  });
}

function createDeps(
  parts: Parts,
  store: PostgresStore,
  {
    keyring,
    keys,
    authorities,
    refusals,
    lastUse,
    audit,
    cells,
    forwarder,
    requests,
    metrics,
    passwords,
    failedAttempts,
  }: Pick<AdminDeps, 'keyring' | 'keys' | 'authorities' | 'metrics'> & {
    readonly requests: RequestMetrics;
    readonly passwords: PasswordHasher;
    readonly failedAttempts: FailedAttempts;
    readonly refusals: RefusalLog;
    readonly lastUse: LastUse;
    readonly audit: AuditLog;
    readonly cells: CurrentTopology;
    readonly forwarder: Forwarder;
  },
): PublicDeps & AdminDeps {
  const { config, database, log, now, isDraining } = parts;
  return {
    keyring,
    propagationSeconds: config.keys.propagationSeconds,
    readiness: { check: () => checkReady(store, keyring), isDraining },
    log,
    requests,
    metrics,
    readClientAddress: createClientAddressReader(config.trustedProxies),
    token: {
      cells: () => cells.view(),
      forwarder,
      authenticator: { passwords, failedAttempts },
      inquire: (paths) => store.inquire(paths),
      keyring,
      signOrReuse: createReuse(),
      userClaims: createUserClaims({ now, ttlSeconds: longestTokenLifeSeconds(config.services) }),
      issuer: config.issuer,
      services: new Map(config.services.map((service) => [service.name, service])),
      limits: config.limits,
      timed: requests.timed,
    },
    refusals,
    lastUse,
    audit,
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
    tokens: {
      mint: (order) =>
        mintToken({ database, now, cell: config.cell, isLegacy: () => isLegacy(cells) }, order),
      list: async (question) => {
        await lastUse.flush();
        // In a transaction, which gets more time than what a client waits for.
        return database.transaction((sql) => readTokenPage(sql, question));
      },
      revoke: (key) => revokeToken(database, key, now()),
    },
    adminTokens: {
      recognise: (digest) => recogniseAdminToken(database, digest, now()),
      create: (token) => createAdminToken(database, token),
      list: () => listAdminTokens(database),
      revoke: (id, actor) => revokeAdminToken(database, id, { actor, now: now() }),
      now,
    },
    keys,
    authorities,
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

function isLegacy(cells: CurrentTopology): boolean {
  const { topology, self } = cells.view();
  return topology.cells.some(({ id, legacy }) => id === self && legacy);
}

async function checkReady(store: PostgresStore, keyring: Keyring): Promise<void> {
  keyring.active();
  await store.ping();
}
