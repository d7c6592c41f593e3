import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { CellpassError, type Problem } from './errors.ts';
import {
  daysToSeconds,
  leafOutlivesTokens,
  longestTokenLifeSeconds,
  shortestRotationSeconds,
} from './periods.ts';

/** How tokens for one registry service look and live. */
export interface ServiceSettings {
  readonly name: string;
  /** Which id of the signing key the header names: distribution 2.8 and GitLab know libtrust's, distribution 3 the thumbprint. */
  readonly kid: 'libtrust' | 'thumbprint';
  /** Whether the header shows the certificate; a registry that trusts a `jwks` file alone refuses a token that does. */
  readonly x5c: boolean;
  readonly userClaim: boolean;
  readonly issuedAt: boolean;
  readonly tokenTtlSeconds: number;
  /** The life of tokens that grant a push, for uploads that take long. */
  readonly pushTtlSeconds: number;
}

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
  readonly argon2Lanes: number;
  readonly argon2Queue: number;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface Config {
  /** Null: the embedded database in `dataDir`. */
  readonly databaseUrl: string | null;
  readonly dataDir: string;
  readonly keysDir: string;
  readonly listen: ListenAddress;
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** Without a trailing slash; null: as the listener's address. */
  readonly publicUrl: string | null;
  readonly issuer: string;
  readonly services: readonly ServiceSettings[];
  readonly cell: number;
  /** CIDR ranges whose `X-Forwarded-For` is believed. */
  readonly trustedProxies: readonly string[];
  /** Processes that answer clients. */
  readonly workers: number;
  readonly migrate: boolean;
  readonly logLevel: LogLevel;
  readonly keys: {
    readonly propagationSeconds: number;
    /** 0: by hand alone. */
    readonly rotateEveryDays: number;
    readonly leafHours: number;
  };
  readonly registries: readonly RegistrySettings[];
  readonly limits: Limits;
  /** How long refusals can be explained, and how much room they may take. */
  readonly retention: { readonly refusalDays: number; readonly refusalBytes: number };
  /** Names that look like settings but are none: usually a slip, but an orchestrator may also set some of its own. */
  readonly unknownVariables: readonly string[];
}

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Read by the command line or the tests, not by the server. */
const OTHER_VARIABLES: ReadonlySet<string> = new Set([
  'CELLPASS_CONFIG',
  'CELLPASS_ADMIN_TOKEN',
  'CELLPASS_TEST_INSTALL',
]);

/** Part of the contract, for parts of cellpass that are still to come: setting one must not be silently without effect. */
const NOT_YET = ['admin_listen', 'metrics_listen', 'cells_file'] as const;

const CIDR_HINT = 'a list of CIDR ranges such as 10.0.0.0/8, ::1/128';
const ttl = z.coerce.number().int().min(60).max(3600);
const flag = z.union([
  z.boolean(),
  z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1'),
]);
const path = z.string().min(1);
const words = z.union([
  z.array(z.string().min(1)),
  z.string().transform((text) => text.split(/[\s,]+/).filter((word) => word !== '')),
]);

const serviceSettings = z.strictObject({
  kid: z.enum(['libtrust', 'thumbprint']).default('libtrust'),
  x5c: flag.default(true),
  user_claim: flag.default(true),
  issued_at: flag.default(false),
  token_ttl_seconds: ttl.optional(),
  push_ttl_seconds: ttl.optional(),
});
const serviceName = z.string().min(1).max(255);
/** A list of names, of settings that carry their name, or a mapping from name to settings. */
const services = z
  .preprocess(toServicesByName, z.record(serviceName, serviceSettings))
  .refine((byName) => Object.keys(byName).length > 0, 'must name at least one service');

const settings = z.strictObject({
  database_url: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'must be a PostgreSQL URL such as postgresql://user@host/database')
    .optional(),
  data_dir: path.default('./data'),
  keys_dir: path.default('./keys'),
  listen: z.string().transform(toListenAddress).prefault('127.0.0.1:8080'),
  tls_cert: path.optional(),
  tls_key: path.optional(),
  public_url: z.string().transform(toPublicUrl).optional(),
  issuer: z.string().min(1).default('cellpass'),
  services: services.prefault(['container_registry']),
  token_ttl_seconds: ttl.default(300),
  cell: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31 - 1)
    .default(1),
  trusted_proxies: words.pipe(z.array(z.union([z.cidrv4(), z.cidrv6()], CIDR_HINT))).default([]),
  workers: z.coerce.number().int().min(1).max(128).default(1),
  migrate: flag.default(true),
  log_level: z.enum(LOG_LEVELS).default('info'),
  keys: z
    .strictObject({
      propagation_seconds: z.number().int().min(2).default(300),
      rotate_every_days: z.number().min(0).default(30),
      leaf_hours: z
        .number()
        .min(6)
        .max(24 * 365)
        .default(48),
    })
    .prefault({}),
  registries: z
    .array(
      z.strictObject({
        name: z.string().min(1).max(255),
        url: z.string().transform(toPublicUrl),
        service: serviceName.optional(),
      }),
    )
    .default([]),
  limits: z
    .strictObject({
      scopes: z.number().int().min(1).max(1024).default(64),
      username_bytes: z.number().int().min(1).default(255),
      password_bytes: z.number().int().min(64).default(4096),
      body_bytes: z.number().int().min(1024).default(65_536),
      header_bytes: z.number().int().min(8192).default(65_536),
      argon2_lanes: z.number().int().min(1).max(4).default(1),
      argon2_queue: z.number().int().min(1).default(64),
    })
    .prefault({}),
  retention: z
    .strictObject({
      refusal_days: z.number().min(0).default(7),
      refusal_bytes: z
        .number()
        .int()
        .min(0)
        .default(64 * 1024 * 1024),
    })
    .prefault({}),
});

type Settings = z.output<typeof settings>;
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
  const notYet = NOT_YET.filter((name) => given[name] !== undefined);
  const known = Object.fromEntries(
    Object.entries(given).filter(([name]) => !NOT_YET.some((other) => other === name)),
  );
  const parsed = settings.safeParse(known);
  const problems: Problem[] = [
    ...notYet.map((name) => ({
      path: variable(name),
      message: 'is not supported by this version: unset it',
    })),
    ...(parsed.success ? contradictions(parsed.data) : parsed.error.issues.flatMap(toProblems)),
  ];
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
  const names: readonly string[] = [...Object.keys(settings.shape), ...NOT_YET];
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

function variable(name: string): string {
  return `CELLPASS_${name.toUpperCase()}`;
}

function contradictions(given: Settings): readonly Problem[] {
  const problems: Problem[] = [];
  if ((given.tls_cert === undefined) !== (given.tls_key === undefined)) {
    const missing = given.tls_cert === undefined ? 'tls_cert' : 'tls_key';
    problems.push({
      path: variable(missing),
      message: 'is missing: the certificate and its key go together',
    });
  }
  if (given.workers > 1 && given.database_url === undefined) {
    problems.push({
      path: variable('workers'),
      message: 'the embedded database belongs to one process: set CELLPASS_DATABASE_URL, or leave it at 1',
    });
  }
  return [...problems, ...periodContradictions(given), ...registryContradictions(given)];
}

/** What would let a token outlive the publication of its key, or its leaf certificate. */
function periodContradictions(given: Settings): readonly Problem[] {
  const { propagation_seconds, rotate_every_days, leaf_hours } = given.keys;
  const longest = longestTokenLifeSeconds(toServices(given));
  const problems: Problem[] = [];
  if (!leafOutlivesTokens(leaf_hours, longest)) {
    problems.push({
      path: 'CELLPASS_KEYS.leaf_hours',
      message: `${leaf_hours} hours are too short for tokens of up to ${longest} s: with a quarter of its life gone a leaf must still outlive them`,
    });
  }
  const shortest = shortestRotationSeconds(propagation_seconds, longest);
  if (rotate_every_days !== 0 && daysToSeconds(rotate_every_days) < shortest) {
    problems.push({
      path: 'CELLPASS_KEYS.rotate_every_days',
      message: `must be at least ${shortest} s (${(shortest / 86_400).toFixed(4)} days): keys.propagation_seconds, and the longest life of a token with a minute; or 0 for never`,
    });
  }
  return problems;
}

function registryContradictions({ registries, services: known }: Settings): readonly Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  for (const [index, { name, service }] of registries.entries()) {
    const path = `CELLPASS_REGISTRIES.${index}`;
    if (names.has(name)) problems.push({ path: `${path}.name`, message: `${name} is named twice` });
    names.add(name);
    if (service !== undefined && known[service] === undefined) {
      problems.push({ path: `${path}.service`, message: `${service} is not among the services` });
    }
  }
  return problems;
}

function toServices({ services: byName, token_ttl_seconds }: Settings): readonly ServiceSettings[] {
  return Object.entries(byName).map(([name, service]) => toServiceSettings(name, service, token_ttl_seconds));
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
    tls: given.tls_cert && given.tls_key ? { certFile: given.tls_cert, keyFile: given.tls_key } : null,
    publicUrl: given.public_url ?? null,
    issuer: given.issuer,
    services: toServices(given),
    cell: given.cell,
    trustedProxies: given.trusted_proxies,
    workers: given.workers,
    migrate: given.migrate,
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
      argon2Lanes: given.limits.argon2_lanes,
      argon2Queue: given.limits.argon2_queue,
    },
    retention: {
      refusalDays: given.retention.refusal_days,
      refusalBytes: given.retention.refusal_bytes,
    },
    unknownVariables,
  };
}

function toServiceSettings(
  name: string,
  given: z.output<typeof serviceSettings>,
  ttlSeconds: number,
): ServiceSettings {
  const tokenTtlSeconds = given.token_ttl_seconds ?? ttlSeconds;
  return {
    name,
    kid: given.kid,
    x5c: given.x5c,
    userClaim: given.user_claim,
    issuedAt: given.issued_at,
    tokenTtlSeconds,
    pushTtlSeconds: given.push_ttl_seconds ?? tokenTtlSeconds,
  };
}

function toServicesByName(given: unknown): unknown {
  const list = typeof given === 'string' ? given.split(/[\s,]+/).filter((name) => name !== '') : given;
  if (Array.isArray(list)) return Object.fromEntries(list.map(toNamedSettings));
  if (typeof list !== 'object' || list === null) return list;
  return Object.fromEntries(Object.entries(list).map(([name, value]) => [name, value ?? {}]));
}

function toNamedSettings(entry: unknown): [name: string, settings: unknown] {
  if (typeof entry !== 'object' || entry === null || !('name' in entry)) return [String(entry), {}];
  const { name, ...rest } = entry;
  return [String(name), rest];
}

/** `host:port`, an IPv6 host in brackets. Port 0 asks the system for a free one. */
function toListenAddress(text: string, context: z.core.$RefinementCtx): ListenAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  const host = match?.[1] ?? match?.[2];
  if (host === undefined || port > 65_535) {
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'must be host:port, such as 127.0.0.1:8080 or [::1]:8080',
    });
    return z.NEVER;
  }
  return { host, port };
}

function toPublicUrl(text: string, context: z.core.$RefinementCtx): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isPlain =
    url !== undefined &&
    /^https?:$/.test(url.protocol) &&
    url.search === '' &&
    url.hash === '' &&
    url.username === '';
  if (!isPlain) {
    context.issues.push({
      code: 'custom',
      input: text,
      message: 'must be an http(s) URL without query and fragment, such as https://auth.example.com',
    });
    return z.NEVER;
  }
  return text.replace(/\/+$/, '');
}
