import { z } from 'zod';
import { parseRange, rangeProblem } from '../addresses.ts';
import { toDatabaseUrl } from './database-url.ts';
import { federationSettings } from './federation.ts';
import { GITLAB_VARIABLES, gitlabSettings } from './gitlab.ts';
import { httpUrl } from './http-url.ts';
import { knownKeysAt } from './known-keys.ts';
import { number } from './number.ts';

/**
 * The schema of all settings, by their names in the settings file, with their defaults.
 * docs/configuration.md lists them.
 */

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const ttl = number.pipe(z.number().int().min(60).max(3600));
const flag = z.union(
  [z.boolean(), z.enum(['true', 'false', '1', '0']).transform((text) => text === 'true' || text === '1')],
  'must be true or false',
);
const path = z.string().min(1);
/** The range of PostgreSQL's `integer`. */
export const cellId = z
  .number()
  .int()
  .min(1)
  .max(2 ** 31 - 1);
/** A CIDR range in its normal form. */
const cidrRange = z.string().transform(toCidrRange);
/** An origin as browsers send it (RFC 6454 section 6.2): scheme, host and port. */
const webOrigin = z.string().refine(isWebOrigin, {
  message: 'must be an exact origin such as https://ui.example.com, in lower case and without a path',
});
const words = z.union([z.array(z.string().min(1)), z.string().transform(splitWords)]);

const serviceSettings = z.strictObject({
  kid: z.enum(['libtrust', 'thumbprint']).default('libtrust'),
  x5c: flag.default(true),
  user_claim: flag.default(true),
  issued_at: flag.default(false),
  expand_star: flag.default(false),
  token_ttl_seconds: ttl.optional(),
  push_ttl_seconds: ttl.optional(),
  token_reuse_seconds: number.pipe(z.number().int().min(0).max(3540)).default(0),
});
const serviceName = z.string().min(1).max(255);
/** One name, a list of names, a mapping from name to settings, or a list of settings with `name`. */
const services = z
  .preprocess(toServicesByName, z.record(serviceName, serviceSettings))
  .refine((byName) => Object.keys(byName).length > 0, 'must name at least one service');

const keys = z.strictObject({
  propagation_seconds: z.number().int().min(2).default(300),
  rotate_every_days: z.number().min(0).default(30),
  leaf_hours: z
    .number()
    .min(6)
    .max(24 * 365)
    .default(48),
});

const limits = z.strictObject({
  scopes: z.number().int().min(1).max(1024).default(64),
  username_bytes: z.number().int().min(1).default(255),
  password_bytes: z.number().int().min(64).default(8192),
  body_bytes: z.number().int().min(1024).default(65_536),
  header_bytes: z.number().int().min(8192).default(65_536),
  database_connections: z.number().int().min(4).max(1000).default(13),
  directory_cache_bytes: z
    .number()
    .int()
    .min(0)
    .default(12 * 1024 * 1024),
  argon2_lanes: z.number().int().min(1).max(4).default(1),
  argon2_queue: z.number().int().min(1).default(64),
  failed_attempts: z.number().int().min(0).default(30),
  failed_attempts_per_address: z.number().int().min(0).optional(),
  failed_attempt_seconds: z.number().int().min(1).max(86_400).default(180),
  connections: z.number().int().min(1).default(4096),
  connections_per_address: z.number().int().min(1).default(1024),
  header_seconds: z.number().int().min(1).max(300).default(10),
  request_seconds: z.number().int().min(1).max(300).default(30),
  stall_seconds: z.number().int().min(5).max(3600).default(60),
  password_seconds: z.number().min(2).max(10).default(6),
  token_days: z.number().int().min(0).max(36_500).default(365),
});

const retention = z.strictObject({
  refusal_days: z.number().min(0).default(7),
  refusal_bytes: z
    .number()
    .int()
    .min(0)
    .default(64 * 1024 * 1024),
  audit_days: z.number().int().min(0).max(3650).default(30),
  audit_bytes: z
    .number()
    .int()
    .min(1024 * 1024)
    .default(1024 * 1024 * 1024),
  comparison_days: z.number().min(0).default(14),
  comparison_bytes: z
    .number()
    .int()
    .min(0)
    .default(64 * 1024 * 1024),
});

const registry = z.strictObject({
  name: z.string().min(1).max(255),
  url: httpUrl,
  service: serviceName.optional(),
  insecure: flag.default(false),
  trusts: z.enum(['ca', 'key', 'jwks']).optional(),
});

export const settings = z.strictObject({
  database_url: z.string().transform(toDatabaseUrl).optional(),
  database_url_file: path.optional(),
  database_listen_url: z.string().transform(toDatabaseUrl).optional(),
  database_prepared_statements: flag.default(true),
  data_dir: path.default('./data'),
  keys_dir: path.default('./keys'),
  listen: z.string().transform(toListenAddress).prefault('127.0.0.1:8080'),
  admin_listen: z.string().transform(toListenAddress).optional(),
  metrics_listen: z.string().transform(toListenAddress).optional(),
  tls_cert: path.optional(),
  tls_key: path.optional(),
  public_url: httpUrl.optional(),
  issuer: z.string().min(1).default('cellpass'),
  services: services.prefault(['container_registry']),
  token_ttl_seconds: ttl.default(300),
  cell: number.pipe(cellId).default(1),
  cells_file: path.optional(),
  trusted_proxies: words.pipe(z.array(cidrRange)).default([]),
  cors_origins: words.pipe(z.array(webOrigin)).default([]),
  workers: number.pipe(z.number().int().min(1).max(128)).default(1),
  migrate: flag.default(true),
  drain_seconds: number.pipe(z.number().min(0).max(300)).default(0),
  log_level: z.enum(LOG_LEVELS).default('info'),
  keys: keys.prefault({}),
  registries: z.array(registry).default([]),
  limits: limits.prefault({}),
  retention: retention.prefault({}),
  gitlab: gitlabSettings.prefault({}),
  federation: federationSettings.optional(),
});

export type Settings = z.output<typeof settings>;

/** Splits one value at commas and white space. */
export function splitWords(text: string): string[] {
  return text.split(/[\s,]+/).filter((word) => word !== '');
}

function toServicesByName(given: unknown): unknown {
  const list = typeof given === 'string' ? [given] : given;
  if (Array.isArray(list)) return Object.fromEntries(list.map(toNamedSettings));
  if (typeof list !== 'object' || list === null) return list;
  return Object.fromEntries(Object.entries(list).map(([name, value]) => [name, value ?? {}]));
}

function toNamedSettings(entry: unknown): [name: string, settings: unknown] {
  if (typeof entry !== 'object' || entry === null || !('name' in entry)) return [String(entry), {}];
  const { name, ...rest } = entry;
  return [String(name), rest];
}

function toCidrRange(text: string, context: z.core.$RefinementCtx): string {
  const range = text.includes('/') ? parseRange(text) : null;
  if (range !== null) return range.text;
  context.issues.push({
    code: 'custom',
    input: text,
    message: rangeProblem(text, 'must be a CIDR range such as 10.0.0.0/8 or ::1/128'),
  });
  return z.NEVER;
}

function isWebOrigin(text: string): boolean {
  // A host name has no asterisk, but the URL parser lets it through.
  return URL.canParse(text) && /^https?:[^*]+$/.test(text) && new URL(text).origin === text;
}

/** `host:port`, with an IPv6 host in brackets. For port 0 the system chooses a free port. */
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

/** The settings that a variable can hold, by their path in the file. */
export function settingsOfVariables(): readonly (readonly string[])[] {
  const plain = Object.keys(settings.shape).filter((name) => !FILE_ONLY.has(name));
  return [...plain.map((name) => [name]), ...GITLAB_VARIABLES.map((name) => ['gitlab', name])];
}

/** Settings with a structure of their own, which one variable can't hold. */
const FILE_ONLY: ReadonlySet<string> = new Set([
  'keys',
  'limits',
  'registries',
  'retention',
  'gitlab',
  'federation',
]);

/** Settings that only the file can hold, by their path there; of a section, its settings. */
export function settingsOnlyInFile(): readonly (readonly string[])[] {
  const variables = new Set(settingsOfVariables().map((path) => path.join('.')));
  return [...FILE_ONLY].flatMap((name) =>
    [[name], ...knownKeysAt(settings, [name]).map((field) => [name, field])].filter(
      (path) => !variables.has(path.join('.')),
    ),
  );
}

/** The environment variable of a setting, by its path in the file. */
export function variable(...path: readonly string[]): string {
  return ['CELLPASS', ...path].join('_').toUpperCase();
}
