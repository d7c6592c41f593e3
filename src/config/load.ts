import { isMapping } from '../mapping.ts';
import {
  type FederationSettings,
  federationSettings,
  type IssuerRules,
  issuerRulesOf,
  toFederationSettings,
} from './federation.ts';
import { type GitlabSettings, toGitlabSettings } from './gitlab.ts';
import { explainIssue, IN_WORDS, SETTINGS, valueAt } from './issues.ts';
import { type RailsSettings, toRailsSettings } from './rails.ts';
import { invalidSettings, knownSettings, readSettings, settingName } from './read.ts';
import { readSecretFiles } from './secret-files.ts';
import { type ServiceSettings, toServices } from './services.ts';
import { type ListenAddress, type LogLevel, type Settings, settings } from './settings.ts';
import { type Environment, joinSettings, readEnvironment, readSettingsFile } from './sources.ts';

/** A registry that must trust a key before the key becomes active. */
export interface RegistrySettings {
  readonly name: string;
  /** Without a trailing slash. */
  readonly url: string;
  /** One of `services`: the name by which the registry asks for tokens. */
  readonly service: string;
  /** True: the operator knows that its URL has no TLS. */
  readonly insecure: boolean;
  readonly trusts: RegistryTrust | null;
}

/**
 * What a registry trusts: the CA, one key that it reads at its start (Zot), or a file of the JWK
 * Set. Null: what the header of its tokens says.
 */
export type RegistryTrust = 'ca' | 'key' | 'jwks';

export interface Limits {
  readonly scopes: number;
  readonly usernameBytes: number;
  readonly passwordBytes: number;
  readonly bodyBytes: number;
  readonly headerBytes: number;
  /** All connections of one process to PostgreSQL, at most. */
  readonly databaseConnections: number;
  /** Size of the directory cache in each process; 0: no cache. */
  readonly directoryCacheBytes: number;
  readonly argon2Lanes: number;
  readonly argon2Queue: number;
  /** How long a request with a password may take; other token requests get 1.8 s. */
  readonly passwordSeconds: number;
  /** How long a token that `token create` makes may be good, and is by default; 0: no bound. */
  readonly tokenDays: number;
  readonly failedAttempts: FailedAttemptLimits;
  readonly connections: ConnectionLimits;
}

/** How many logins may fail within `seconds`; 0: no limit. */
interface FailedAttemptLimits {
  readonly perAddress: number;
  /** For one account, from one address. */
  readonly perAccount: number;
  readonly seconds: number;
}

/** Limits of each listener in each process. The admin socket has none. */
interface ConnectionLimits {
  readonly total: number;
  /** Trusted proxies are exempt, because they connect for many clients. */
  readonly perAddress: number;
  /**
   * From the first byte of a request (of the first one: from the connection) to the end of its
   * headers.
   */
  readonly headerSeconds: number;
  /** From the first byte of a request to the end of its body. */
  readonly requestSeconds: number;
  /** Without a byte in either direction while a request or an answer is under way. */
  readonly stallSeconds: number;
}

export interface Config {
  /** Null: use the embedded database in `dataDir`. */
  readonly databaseUrl: string | null;
  /** Where LISTEN connects if a pooler answers at `databaseUrl`; null: no other place. */
  readonly databaseListenUrl: string | null;
  /** False: a pooler in transaction mode answers at `databaseUrl`. */
  readonly databasePreparedStatements: boolean;
  readonly dataDir: string;
  readonly keysDir: string;
  readonly listen: ListenAddress;
  /** The admin API over TCP; null: only over the Unix socket. */
  readonly adminListen: ListenAddress | null;
  /** Metrics without an admin token; null: only over the admin API. */
  readonly metricsListen: ListenAddress | null;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Without a trailing slash; null: derived from `listen`. */
  readonly publicUrl: string | null;
  readonly issuer: string;
  /** False: the default. */
  readonly issuerIsSet: boolean;
  readonly services: readonly ServiceSettings[];
  readonly cell: number;
  /** The path of `cells.yaml`; null: this is the only cell, and it accepts every credential. */
  readonly cellsFile: string | null;
  /** CIDR ranges of proxies whose `X-Forwarded-For` header is trusted. */
  readonly trustedProxies: readonly string[];
  /** The origins of web pages that may ask for tokens, as browsers send them in `Origin`. */
  readonly corsOrigins: readonly string[];
  /** How many processes answer clients. */
  readonly workers: number;
  readonly migrate: boolean;
  /**
   * How long the listener stays open after SIGTERM, so that load balancers see `/readyz` fail
   * first.
   */
  readonly drainSeconds: number;
  readonly logLevel: LogLevel;
  readonly keys: {
    readonly propagationSeconds: number;
    /** 0: only by hand. */
    readonly rotateEveryDays: number;
    readonly leafHours: number;
  };
  readonly registries: readonly RegistrySettings[];
  readonly limits: Limits;
  /**
   * How long records of refusals and of issued tokens are kept (0 days: not at all), and how large
   * they may grow.
   */
  readonly retention: {
    readonly refusalDays: number;
    readonly refusalBytes: number;
    readonly auditDays: number;
    readonly auditBytes: number;
    /** Of differences between answers of Rails and cellpass. */
    readonly comparisonDays: number;
    readonly comparisonBytes: number;
  };
  /** GitLab's database as the directory; null: cellpass's own tables. */
  readonly gitlab: GitlabSettings | null;
  /** GitLab Rails beside cellpass; null: there is none. */
  readonly rails: RailsSettings | null;
  /** Whose ID tokens may be used as passwords; null: nobody's. */
  readonly federation: FederationSettings | null;
  /**
   * `CELLPASS_` variables that aren't settings: usually typing errors, but an orchestrator may set
   * its own.
   */
  readonly unknownVariables: readonly string[];
  /** Names of the settings that the environment or the file sets, without their values. */
  readonly settingNames: readonly string[];
}

/**
 * Reads the settings from the environment, and from the YAML file that `CELLPASS_CONFIG` names. The
 * file uses the variables' names in lower case without the prefix; the environment wins. Nothing
 * else in cellpass reads the environment.
 * @throws {CellpassError} `invalid`, with all problems, each with the name of its variable and, if
 *   it comes from the file, its line.
 */
export function loadConfig(environment: Environment): Config {
  const { parsed, given, unknown } = readSettings(environment);
  return {
    ...toConfig(parsed, valueAt(given, ['issuer']) !== undefined, unknown),
    settingNames: namesOf(given),
  };
}

/**
 * The URL of a GitLab's database, without a look at any other setting: a DBA who grants rights has
 * no others yet. Null: none is set.
 */
export function readGitlabUrl(
  environment: Environment,
  name: 'database_url' | 'ci_database_url',
): string | null {
  const { content } = readSettingsFile(environment['CELLPASS_CONFIG']);
  const { known } = readEnvironment(environment);
  const url = valueAt(readSecretFiles(joinSettings(content, known)).given, ['gitlab', name]);
  return typeof url === 'string' ? url : null;
}

/**
 * What identities of each issuer must pin, without a look at any other setting: a document is
 * checked where the server's secrets are not. Null: no issuer is configured, or no file is named.
 * @throws {CellpassError} `invalid` where the file or its section federation can't be read.
 */
export function readIssuerRules(environment: Environment): IssuerRules | null {
  const file = readSettingsFile(environment['CELLPASS_CONFIG']);
  if (file.problems.length > 0) throw invalidSettings(file.problems, file.name);
  const given = file.content['federation'];
  if (given === undefined) return null;
  const parsed = federationSettings.safeParse(given, IN_WORDS);
  if (!parsed.success) {
    const issues = parsed.error.issues.flatMap((issue) =>
      explainIssue(issue, given, (path) => knownSettings(['federation', ...path]), SETTINGS),
    );
    throw invalidSettings(
      issues.map(({ path, message }) => ({
        line: file.lineOf(['federation', ...path]),
        path: ['federation', ...path].join('.'),
        message,
      })),
      file.name,
    );
  }
  const settings = toFederationSettings(parsed.data, undefined);
  return settings && issuerRulesOf(settings);
}

/** `CELLPASS_ISSUER`, and `CELLPASS_KEYS.leaf_hours` in a section. */
function namesOf(given: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(given).flatMap(([name, value]) =>
    isMapping(value)
      ? Object.keys(value).map((key) => settingName([name, key], false))
      : [settingName([name], false)],
  );
}

/**
 * `limits.token_days`, without a look at any other setting, as `readIssuerRules`; a wrong value
 * counts as the default.
 */
export function readTokenDays(environment: Environment): number {
  const { content } = readSettingsFile(environment['CELLPASS_CONFIG']);
  const { limits } = settings.shape;
  const given = valueAt(content, ['limits', 'token_days']);
  const { data = limits.parse({}) } = limits.safeParse({ token_days: given });
  return data.token_days;
}

function toConfig(
  given: Settings,
  issuerIsSet: boolean,
  unknownVariables: readonly string[],
): Omit<Config, 'settingNames'> {
  return {
    databaseUrl: given.database_url ?? null,
    databaseListenUrl: given.database_listen_url ?? null,
    databasePreparedStatements: given.database_prepared_statements,
    dataDir: given.data_dir,
    keysDir: given.keys_dir,
    listen: given.listen,
    adminListen: given.admin_listen ?? null,
    metricsListen: given.metrics_listen ?? null,
    tls: given.tls_cert && given.tls_key ? { certFile: given.tls_cert, keyFile: given.tls_key } : null,
    publicUrl: given.public_url ?? null,
    issuer: given.issuer,
    issuerIsSet,
    services: toServices(given),
    cell: given.cell,
    cellsFile: given.cells_file ?? null,
    trustedProxies: given.trusted_proxies,
    corsOrigins: given.cors_origins,
    workers: given.workers,
    migrate: given.migrate,
    drainSeconds: given.drain_seconds,
    logLevel: given.log_level,
    keys: {
      propagationSeconds: given.keys.propagation_seconds,
      rotateEveryDays: given.keys.rotate_every_days,
      leafHours: given.keys.leaf_hours,
    },
    registries: toRegistries(given),
    limits: toLimits(given.limits),
    retention: {
      refusalDays: given.retention.refusal_days,
      refusalBytes: given.retention.refusal_bytes,
      auditDays: given.retention.audit_days,
      auditBytes: given.retention.audit_bytes,
      comparisonDays: given.retention.comparison_days,
      comparisonBytes: given.retention.comparison_bytes,
    },
    gitlab: toGitlabSettings(given.gitlab),
    rails: toRailsSettings(given.gitlab),
    federation: toFederationSettings(given.federation, given.public_url),
    unknownVariables,
  };
}

/** A registry without a service belongs to the first one. */
function toRegistries({ registries, services }: Settings): readonly RegistrySettings[] {
  const [first = ''] = Object.keys(services);
  return registries.map(({ name, url, service = first, insecure, trusts = null }) => ({
    name,
    url,
    service,
    insecure,
    trusts,
  }));
}

function toLimits(given: Settings['limits']): Limits {
  return {
    scopes: given.scopes,
    usernameBytes: given.username_bytes,
    passwordBytes: given.password_bytes,
    bodyBytes: given.body_bytes,
    headerBytes: given.header_bytes,
    databaseConnections: given.database_connections,
    directoryCacheBytes: given.directory_cache_bytes,
    argon2Lanes: given.argon2_lanes,
    argon2Queue: given.argon2_queue,
    passwordSeconds: given.password_seconds,
    tokenDays: given.token_days,
    failedAttempts: {
      perAddress: given.failed_attempts_per_address ?? given.failed_attempts,
      perAccount: given.failed_attempts,
      seconds: given.failed_attempt_seconds,
    },
    connections: {
      total: given.connections,
      perAddress: given.connections_per_address,
      headerSeconds: given.header_seconds,
      requestSeconds: given.request_seconds,
      stallSeconds: given.stall_seconds,
    },
  };
}
