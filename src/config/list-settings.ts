import { valueAt } from './issues.ts';
import { masked, maskedWhole } from './masked.ts';
import { toRailsSettings } from './rails.ts';
import { knownSettings, type ReadSettings, readSettings } from './read.ts';
import { fileOfSecret } from './secret-files.ts';
import { toServices } from './services.ts';
import { type Settings, settings, variable } from './settings.ts';
import { CLIENT_VARIABLES, type Environment } from './sources.ts';
import type { Path } from './yaml.ts';

/** One setting, for people. */
export interface ListedSetting {
  /** As in the settings file: `listen`, `limits.token_days`. */
  readonly name: string;
  /** What is in force, secrets as `***`; null: none. */
  readonly value: unknown;
  readonly source: 'environment' | 'file' | 'default';
  /** The variable, or where in the file it stands; null for a default. */
  readonly place: string | null;
}

/** Sections whose settings have a value and a source each. Others are values as a whole. */
const SECTIONS = ['keys', 'limits', 'retention', 'gitlab', 'federation'] as const;

/**
 * Every setting in the order of the documentation, with the settings of the command line last.
 * @throws {CellpassError} `invalid`, as `loadConfig`.
 */
export function listSettings(environment: Environment): readonly ListedSetting[] {
  const read = readSettings(environment);
  const inForce: Readonly<Record<string, unknown>> = { ...read.parsed, ...derived(read.parsed) };
  return [
    ...allPaths().map((path) => listOne(read, path, valueAt(inForce, path))),
    ...CLIENT_VARIABLES.map((name) => listVariable(environment, name)),
  ];
}

/** Settings whose default is another setting, and values that were read into another form. */
function derived(parsed: Settings): Readonly<Record<string, unknown>> {
  const { limits, listen, admin_listen, metrics_listen } = parsed;
  return {
    limits: {
      ...limits,
      failed_attempts_per_address: limits.failed_attempts_per_address ?? limits.failed_attempts,
    },
    listen: printAddress(listen),
    admin_listen: admin_listen && printAddress(admin_listen),
    metrics_listen: metrics_listen && printAddress(metrics_listen),
    services: servicesOf(parsed),
    gitlab: { ...parsed.gitlab, ...railsOf(parsed) },
    federation: parsed.federation && { audience: parsed.public_url, ...parsed.federation },
  };
}

function railsOf({ gitlab }: Settings): Readonly<Record<string, unknown>> {
  const rules = toRailsSettings(gitlab)?.rules;
  return rules === undefined
    ? {}
    : {
        compare_percent: rules.comparePercent,
        pass_services: rules.passServices,
        serve_percent: rules.servePercent,
        expected_differences: rules.expectedDifferences,
      };
}

function servicesOf(parsed: Settings): Readonly<Record<string, unknown>> {
  const lives = toServices(parsed).map(({ name, tokenTtlSeconds, pushTtlSeconds }) => [
    name,
    { ...parsed.services[name], token_ttl_seconds: tokenTtlSeconds, push_ttl_seconds: pushTtlSeconds },
  ]);
  return Object.fromEntries(lives);
}

function printAddress({ host, port }: Settings['listen']): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** `['listen']`, `['limits', 'scopes']` and so on, of every setting that there is. */
function allPaths(): readonly (readonly string[])[] {
  return Object.keys(settings.shape).flatMap((name) => {
    if (!SECTIONS.some((section) => section === name)) return [[name]];
    return knownSettings([name]).map((field) => [name, field]);
  });
}

function listOne(read: ReadSettings, path: readonly string[], value: unknown): ListedSetting {
  return { name: path.join('.'), value: masked(value ?? null), ...sourceOf(read, path) };
}

function sourceOf(
  { known, file }: ReadSettings,
  path: readonly string[],
): Pick<ListedSetting, 'source' | 'place'> {
  const inFile = (at: Path): boolean => valueAt(file.content, at) !== undefined;
  const secretFile = fileOfSecret(path);
  for (const at of secretFile === null ? [path] : [path, secretFile]) {
    if (valueAt(known, at) !== undefined) return { source: 'environment', place: variable(...at) };
  }
  for (const at of secretFile === null ? [path] : [path, secretFile]) {
    if (inFile(at)) return { source: 'file', place: `line ${file.lineOf(at)}` };
  }
  return { source: 'default', place: null };
}

/** A setting of the command line, which no file can hold. */
function listVariable(environment: Environment, variableName: string): ListedSetting {
  const value = environment[variableName] || undefined;
  const name = variableName.replace(/^CELLPASS_/, '').toLowerCase();
  const isSecret = name === 'admin_token';
  return {
    name,
    value: isSecret ? maskedWhole(value) : masked(value ?? null),
    ...(value === undefined
      ? { source: 'default', place: null }
      : { source: 'environment', place: variableName }),
  };
}
