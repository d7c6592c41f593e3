import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PasswordHashing } from '../../authn/password-schemes.ts';
import type { Log } from '../../log.ts';
import { createHashingClient, type HashingAnswer, type HashingClient, hasherAway } from './channel.ts';
import type { HasherReady } from './hasher-process.ts';

/**
 * Hashes passwords in a process of low priority, which uses little more than the processor time that other
 * processes leave.
 */
export interface Hasher extends PasswordHashing {
  /** Ends the process; hashes that are under way fail with `unavailable`. */
  close(): Promise<void>;
}

export interface HasherOptions {
  /** How many passwords are hashed at the same time. */
  readonly lanes: number;
  readonly log: Log;
}

/** `.ts` in tests, `.js` when built. */
const ENTRY = fileURLToPath(new URL(`hasher-process${extname(import.meta.url)}`, import.meta.url));
/** How long the process may take to exit; no hash is waited for by then. */
const GRACE_MS = 1000;

/**
 * Starts the process; resolves when it can hash. When it dies, the hashes under way fail with
 * `unavailable`, and the next call starts it again; calls during the start wait for that one start.
 * @throws {CellpassError} `unavailable` when it can't be started.
 */
export async function startHasher({ lanes, log }: HasherOptions): Promise<Hasher> {
  let isClosing = false;
  let running: Promise<Running> | undefined;
  const start = async (): Promise<Running> => {
    const child = forkHasher(lanes);
    const ended = endOf(child);
    void ended.then((how) => {
      running = undefined;
      if (!isClosing)
        log.error({ how }, 'the process that hashes passwords ended; the next password starts another');
    });
    const problem = await readiness(child, ended);
    if (problem !== null)
      log.warn({ problem }, 'passwords are hashed with the same priority as everything else');
    return { child, ended, client: clientOf(child, ended) };
  };
  const client = async (): Promise<HashingClient> => {
    if (isClosing) throw hasherAway('the server is stopping');
    running ??= start();
    return (await running).client;
  };
  await client();
  return {
    hash: async (password) => (await client()).hash(password),
    verify: async (hash, password) => (await client()).verify(hash, password),
    close: async () => {
      isClosing = true;
      const last = await running?.catch(() => undefined);
      if (last !== undefined) await end(last);
    },
  };
}

interface Running {
  readonly child: ChildProcess;
  /** Resolves with the exit code, the signal or the error. */
  readonly ended: Promise<string>;
  readonly client: HashingClient;
}

function forkHasher(lanes: number): ChildProcess {
  return fork(ENTRY, {
    // argon2 hashes on libuv's threads, so their number is the number of lanes.
    env: { ...withoutSettings(process.env), UV_THREADPOOL_SIZE: String(lanes) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
}

/**
 * A process that needs neither the database nor the master key gets no settings with secrets.
 */
export function withoutSettings(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(environment).filter(([name]) => !name.startsWith('CELLPASS_')));
}

/** Resolves with the exit code, the signal or the error of a process. */
export function endOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(String(signal ?? code)));
  });
}

/** Resolves with the problem that the process has with its priority, or null. */
async function readiness(child: ChildProcess, ended: Promise<string>): Promise<string | null> {
  const ready = new Promise<HasherReady>((resolve) => child.once('message', resolve));
  const first = await Promise.race([ready, ended]);
  if (typeof first === 'string')
    throw hasherAway(`the process that hashes passwords could not start: ${first}`);
  return first.problem;
}

function clientOf(child: ChildProcess, ended: Promise<string>): HashingClient {
  // A question that can't be sent is lost with the process: `lose` answers it.
  const client = createHashingClient((question) => child.send(question, () => undefined));
  child.on('message', (message: HashingAnswer) => client.receive(message));
  void ended.then(() => client.lose());
  return client;
}

async function end({ child, ended }: Running): Promise<void> {
  const overdue = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
  if (child.connected) child.disconnect();
  await ended;
  clearTimeout(overdue);
}
