import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import type { z } from 'zod';
import { CellpassError, type Problem } from '../errors.ts';
import { contradictions } from './contradictions.ts';
import { type ServiceSettings, toServices } from './services.ts';
import { type ListenAddress, type LogLevel, type Settings, settings, variable } from './settings.ts';

/** A registry that is asked before a key becomes active. */
export interface RegistrySettings {
  readonly name: string;
  /** Without a trailing slash. */
  readonly url: string;
  /** One of `services`: what the registry calls itself. */
  readonly service: string;
}

export interface Limits {
  readonly scopes: number;
  readonly usernameBytes: number;
  readonly passwordBytes: number;
  readonly bodyBytes: number;
  readonly headerBytes: number;
  /** Of what is remembered of the directory, in each process; 0: nothing is. */
  readonly directoryCacheBytes: number;
  readonly argon2Lanes: number;
  readonly argon2Queue: number;
  readonly failedAttempts: FailedAttemptLimits;
  readonly connections: ConnectionLimits;
}

/** How many attempts may fail within `seconds`; 0: any number. */
interface FailedAttemptLimits {
  readonly perAddress: number;
  /** From one address as one account. */
  readonly perAccount: number;
  readonly seconds: number;
}

/** Of each listener but the admin socket, in each process. */
interface ConnectionLimits {
  readonly total: number;
  /** Not of trusted proxies, behind which many stand. */
  readonly perAddress: number;
  /** From the first byte of a request, or from the connection, to the end of the headers. */
  readonly headerSeconds: number;
  /** From the first byte of a request to the end of its body. */
  readonly requestSeconds: number;
  /** Without a byte in either direction while something is under way. */
  readonly stallSeconds: number;
}

export interface Config {
  /** Null: the embedded database in `dataDir`. */
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  readonly keysDir: string;
  readonly listen: ListenAddress;
  /** The admin API over TCP; null: over the socket alone. */
  readonly adminListen: ListenAddress | null;
  /** Where Prometheus asks without a token; null: over the admin API alone. */
  readonly metricsListen: ListenAddress | null;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Without a trailing slash; null: as the listener's address. */
  readonly publicUrl: string | null;
  readonly issuer: string;
  readonly services: readonly ServiceSettings[];
  readonly cell: number;
  /** The topology; null: this cell is the only one, and takes every credential. */
  readonly cellsFile: string | null;
  /** CIDR ranges whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  /** Processes that answer clients. */
  readonly workers: number;
  readonly migrate: boolean;
  /** How long the listener stays open after SIGTERM, so that whoever asks `/readyz` sends no more. */
  readonly drainSeconds: number;
  readonly logLevel: LogLevel;
  readonly keys: {
    readonly propagationSeconds: number;
    /** 0: by hand alone. */
    readonly rotateEveryDays: number;
    readonly leafHours: number;
  };
  readonly registries: readonly RegistrySettings[];
  readonly limits: Limits;
  /** How long refusals can be explained and issued tokens are on record (0: they aren't), and how much room that may take. */
  readonly retention: {
    readonly refusalDays: number;
    readonly refusalBytes: number;
    readonly auditDays: number;
    readonly auditBytes: number;
  };
  /** Names that look like settings but are none: usually a slip, but an orchestrator may also set some of its own. */
  readonly unknownVariables: readonly string[];
}

/** Read by the command line or the tests, not by the server. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'CELLPASS_CONFIG',
  'CELLPASS_ADMIN_TOKEN',
  'CELLPASS_TEST_INSTALL',
]);

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Reads the environment and, where `CELLPASS_CONFIG` names one, a YAML file with the same names in lower case without the prefix;
 * the environment wins. The only reader of the environment.
 * @throws {CellpassError} `invalid`, with every problem at once, each by the name of its variable.
 */
export function loadConfig(environment: Environment): Config {
  const file = readConfigFile(environment['CELLPASS_CONFIG']);
  const fromEnvironment = readEnvironment(environment);
  const given = { ...file, ...fromEnvironment.known };
  const parsed = settings.safeParse(given);
  const problems = parsed.success ? contradictions(parsed.data) : parsed.error.issues.flatMap(toProblems);
  if (!parsed.success || problems.length > 0) throw invalid(problems);
  return toConfig(parsed.data, fromEnvironment.unknown);
}

function readConfigFile(name: string | undefined): Record<string, unknown> {
  if (name === undefined || name === '') return {};
  const problem = (message: string): CellpassError =>
    invalid([{ path: 'CELLPASS_CONFIG', message: `${name}: ${message}` }]);
  let content: unknown;
  try {
    content = parse(readFileSync(name, 'utf8'));
  } catch (error) {
    throw problem(error instanceof Error ? error.message : String(error));
  }
  if (content === null || content === undefined) return {};
  if (typeof content !== 'object' || Array.isArray(content))
    throw problem('must be a YAML mapping of settings');
  return { ...content };
}

interface FromEnvironment {
  readonly known: Record<string, unknown>;
  readonly unknown: readonly string[];
}

function readEnvironment(environment: Environment): FromEnvironment {
  const names = Object.keys(settings.shape);
  const ours = Object.entries(environment).filter(
    ([name, value]) => name.startsWith('CELLPASS_') && value !== undefined && value !== '',
  );
  const isKnown = (name: string): boolean =>
    names.some((known) => variable(known) === name) && !isFileOnly(name);
  return {
    known: Object.fromEntries(
      ours.filter(([name]) => isKnown(name)).map(([name, value]) => [unprefixed(name), value]),
    ),
    unknown: ours.map(([name]) => name).filter((name) => !isKnown(name) && !OTHER_VARIABLES.has(name)),
  };
}

/** Structured settings have no form as one variable. */
function isFileOnly(name: string): boolean {
  return ['CELLPASS_KEYS', 'CELLPASS_LIMITS', 'CELLPASS_REGISTRIES', 'CELLPASS_RETENTION'].includes(name);
}

function unprefixed(name: string): string {
  return name.slice('CELLPASS_'.length).toLowerCase();
}

function toProblems(issue: z.core.$ZodIssue): readonly Problem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      path: settingName([...issue.path, key]),
      message: 'is not a setting',
    }));
  }
  return [{ path: settingName(issue.path), message: issue.message }];
}

function settingName([first, ...rest]: readonly PropertyKey[]): string {
  const nested = rest.map((part) => `.${String(part)}`).join('');
  return `${variable(String(first))}${nested}`;
}

function invalid(problems: readonly Problem[]): CellpassError {
  const list = problems.map(({ path: name, message }) => `${name}: ${message}`).join('; ');
  return new CellpassError('invalid', `the configuration is wrong: ${list}`, { problems });
}

function toConfig(given: Settings, unknownVariables: readonly string[]): Config {
  return {
    databaseUrl: given.database_url ?? null,
    dataDir: given.data_dir,
    keysDir: given.keys_dir,
    listen: given.listen,
    adminListen: given.admin_listen ?? null,
    metricsListen: given.metrics_listen ?? null,
    tls: given.tls_cert && given.tls_key ? { certFile: given.tls_cert, keyFile: given.tls_key } : null,
    publicUrl: given.public_url ?? null,
    issuer: given.issuer,
    services: toServices(given),
    cell: given.cell,
    cellsFile: given.cells_file ?? null,
    trustedProxies: given.trusted_proxies,
    workers: given.workers,
    migrate: given.migrate,
    drainSeconds: given.drain_seconds,
    logLevel: given.log_level,
    keys: {
      propagationSeconds: given.keys.propagation_seconds,
      rotateEveryDays: given.keys.rotate_every_days,
      leafHours: given.keys.leaf_hours,
    },
    registries: given.registries.map(({ name, url, service }) => ({
      name,
      url,
      service: service ?? Object.keys(given.services)[0] ?? '',
    })),
    limits: {
      scopes: given.limits.scopes,
      usernameBytes: given.limits.username_bytes,
      passwordBytes: given.limits.password_bytes,
      bodyBytes: given.limits.body_bytes,
      headerBytes: given.limits.header_bytes,
      directoryCacheBytes: given.limits.directory_cache_bytes,
      argon2Lanes: given.limits.argon2_lanes,
      argon2Queue: given.limits.argon2_queue,
      failedAttempts: {
        perAddress: given.limits.failed_attempts_per_address ?? given.limits.failed_attempts,
        perAccount: given.limits.failed_attempts,
        seconds: given.limits.failed_attempt_seconds,
      },
      connections: {
        total: given.limits.connections,
        perAddress: given.limits.connections_per_address,
        headerSeconds: given.limits.header_seconds,
        requestSeconds: given.limits.request_seconds,
        stallSeconds: given.limits.stall_seconds,
      },
    },
    retention: {
      refusalDays: given.retention.refusal_days,
      refusalBytes: given.retention.refusal_bytes,
      auditDays: given.retention.audit_days,
      auditBytes: given.retention.audit_bytes,
    },
    unknownVariables,
  };
}
