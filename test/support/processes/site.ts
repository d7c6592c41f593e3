import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalJWKSet, type JSONWebKeySet, type JWTPayload, jwtVerify } from 'jose';
import { runCommand } from '../../../src/main.ts';
import type { AccessEntry } from '../../../src/policy/grant.ts';
import { freePort, sharedPostgres } from '../database/postgres.ts';
import { type Child, type Outcome, runToEnd, startChild, until } from './child.ts';

export const ROOT = join(import.meta.dirname, '../../..');
const BIN = join(ROOT, 'bin/cellpass');
export const EXAMPLE = join(ROOT, 'examples/acme.yaml');

type Environment = Readonly<Record<string, string>>;
export type DatabaseKind = 'embedded' | 'postgresql';

/** A temporary folder with the data, the keys and the settings of one cellpass. */
export interface Site {
  readonly dir: string;
  readonly dataDir: string;
  readonly socket: string;
  readonly masterKey: string;
  readonly env: Environment;
  /** Starts a server and waits until it is ready. */
  serve(env?: Environment): Promise<Server>;
  /** Starts a server on any port, and doesn't wait. */
  start(): Child;
  /**
   * Runs any command to its end, also a `serve` that must refuse to start. What only asks a server
   * runs in this process, because a start takes many times longer than the command. Paths in the
   * arguments must be absolute.
   */
  run(
    args: readonly string[],
    options?: { readonly env?: Environment; readonly input?: string },
  ): Promise<Outcome>;
  /** Ends its servers, and removes the folder. */
  remove(): Promise<void>;
}

export interface Server {
  readonly url: string;
  readonly port: number;
  readonly child: Child;
  /** Sends SIGTERM, and resolves with the exit code. */
  stop(): Promise<number | null>;
}

export async function makeSite(kind: DatabaseKind): Promise<Site> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-cli-'));
  const dataDir = join(dir, 'data');
  const env = {
    HOME: dir,
    CELLPASS_DATA_DIR: dataDir,
    CELLPASS_KEYS_DIR: join(dir, 'keys'),
    ...(kind === 'postgresql' && { CELLPASS_DATABASE_URL: await (await sharedPostgres()).createDatabase() }),
  };
  const children: Child[] = [];
  return {
    dir,
    dataDir,
    socket: join(dataDir, 'admin.sock'),
    masterKey: join(dir, 'keys/master.key'),
    env,
    async serve(more = {}) {
      const port = await freePort();
      const all = { ...env, CELLPASS_LISTEN: `127.0.0.1:${port}`, ...more };
      const child = startChild('cellpass serve', BIN, ['serve'], { env: all, cwd: dir });
      children.push(child);
      await saying(child, '"msg":"listening"');
      const url = `${more['CELLPASS_TLS_CERT'] === undefined ? 'http' : 'https'}://127.0.0.1:${port}`;
      return { url, port, child, stop: () => stop(child) };
    },
    start() {
      const all = { ...env, CELLPASS_LISTEN: '127.0.0.1:0' };
      const child = startChild('cellpass serve', BIN, ['serve'], { env: all, cwd: dir });
      children.push(child);
      return child;
    },
    async run(args, { env: more = {}, input } = {}) {
      const all = { ...env, CELLPASS_LISTEN: `127.0.0.1:${await freePort()}`, ...more };
      if (input === undefined && needsNoProcess(args, all)) return runHere(args, all);
      return runToEnd(BIN, [...args], { env: all, cwd: dir, ...(input !== undefined && { input }) });
    },
    async remove() {
      for (const child of children) await child.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Commands that take everything from their terminal, and open no database. */
const NO_PROCESS = new Set([
  ...['admin-token', 'audit', 'explain', 'federation', 'history', 'lockouts', 'refusals', 'token'],
  ...['directory', 'group', 'keys', 'member', 'project', 'user', 'what-can', 'who-can'],
]);
const FORWARDED = /^(CELLPASS_.*|HOME)$/;

function needsNoProcess([command = '', part]: readonly string[], env: Environment): boolean {
  const opensDatabase = command === 'keys' && part === 'reset';
  return NO_PROCESS.has(command) && !opensDatabase && Object.keys(env).every((name) => FORWARDED.test(name));
}

async function runHere(args: readonly string[], environment: Environment): Promise<Outcome> {
  const { ended, printed } = startHere(args, environment);
  const code = await ended;
  return { code, ...printed };
}

/** Starts a command in this process; what it has printed so far grows. */
export function startHere(
  args: readonly string[],
  environment: Environment,
): {
  readonly ended: Promise<number>;
  readonly printed: { readonly stdout: string; readonly stderr: string };
} {
  const printed = { stdout: '', stderr: '' };
  const ended = runCommand(args, {
    environment,
    stdout: (text) => {
      printed.stdout += text;
    },
    stderr: (text) => {
      printed.stderr += text;
    },
  });
  return { ended, printed };
}

function stop(child: Child): Promise<number | null> {
  child.signal('SIGTERM');
  return child.ended;
}

/** Waits until the output of a running child contains `text`. */
export async function saying(child: Child, text: string): Promise<void> {
  await until(
    () => {
      if (child.output().includes(text)) return true;
      if (!child.running()) throw new Error(`${child.name} ended:\n${child.output()}`);
      return undefined;
    },
    () => `${child.name} does not say ${text}:\n${child.output()}`,
  );
}

/** Runs a command that must succeed, and returns its stdout. */
export async function done(site: Site, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await site.run(args);
  assert.equal(code, 0, `cellpass ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/**
 * Asserts exit code 1, nothing on stdout but the log, and one line on stderr that matches each
 * pattern.
 */
export function assertRefused(
  { code, stdout, stderr }: Outcome,
  ...patterns: readonly (RegExp | string)[]
): void {
  assert.equal(code, 1, `${stdout}${stderr}`);
  assert.match(stderr, /^cellpass: .+\n$/);
  for (const pattern of patterns) {
    if (typeof pattern === 'string') assert.ok(stderr.includes(pattern), `${stderr} must name ${pattern}`);
    else assert.match(stderr, pattern);
  }
  assert.doesNotMatch(stdout, /"msg":"listening"/);
}

export const ALICE = ['alice', 'correct horse'] as const;

/** Fetches a token as `curl -u USER:PASSWORD` does. */
export async function fetchToken(
  url: string,
  [username, password]: readonly [string, string],
  scope: string,
): Promise<string> {
  const query = new URLSearchParams({ service: 'container_registry', scope });
  const basic = Buffer.from(`${username}:${password}`).toString('base64');
  const response = await fetch(`${url}/jwt/auth?${query}`, { headers: { Authorization: `Basic ${basic}` } });
  const body = (await response.json()) as { readonly token: string };
  assert.equal(response.status, 200, JSON.stringify(body));
  return body.token;
}

export async function fetchJwks(url: string): Promise<JSONWebKeySet> {
  return (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as JSONWebKeySet;
}

/** Verifies a token as a registry does. */
export async function verify(
  token: string,
  jwks: JSONWebKeySet,
): Promise<JWTPayload & { readonly access: readonly AccessEntry[] }> {
  const { payload } = await jwtVerify<{ access: readonly AccessEntry[] }>(token, createLocalJWKSet(jwks), {
    issuer: 'cellpass',
    audience: 'container_registry',
    algorithms: ['RS256'],
  });
  return payload;
}
