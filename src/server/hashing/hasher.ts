import { type ChildProcess, fork } from 'node:child_process';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { PasswordHashing } from '../../authn/password-schemes.ts';
import type { Log } from '../../log.ts';
import { createHashingClient, type HashingAnswer, type HashingClient, hasherAway } from './channel.ts';
import type { HasherReady } from './hasher-process.ts';
import { createWatchdog, type Watchdog } from './watchdog.ts';

/**
 * Hashes passwords in a process of low priority, which uses little more than the processor time
 * that other processes leave.
 */
export interface Hasher extends PasswordHashing {
  /** Ends the process; hashes that are under way fail with `unavailable`. */
  close(): Promise<void>;
}

export interface HasherOptions {
  /** How many passwords are hashed at the same time. */
  readonly lanes: number;
  readonly log: Log;
  /** After this long without any answer the process is replaced; default: 10 s. */
  readonly stuckMs?: number;
}

/** `.ts` in tests, `.js` when built. */
const ENTRY = fileURLToPath(new URL(`hasher-process${extname(import.meta.url)}`, import.meta.url));
/** How long the process may take to exit; no hash is waited for by then. */
const GRACE_MS = 1000;
/** A hash takes well under a second, and more where other processes need the processor. */
const STUCK_MS = 10_000;
/** A process that takes longer to start hangs. */
const START_MS = 30_000;

/**
 * Starts the process; resolves when it can hash. When it dies, or gives no answer for ten seconds,
 * the hashes under way fail with `unavailable`, and the next call starts it again; calls during the
 * start wait for that one start.
 * @throws {CellpassError} `unavailable` when it can't be started.
 */
export async function startHasher({ lanes, log, stuckMs = STUCK_MS }: HasherOptions): Promise<Hasher> {
  let isClosing = false;
  let running: Promise<Running> | undefined;
  let child: ChildProcess | undefined;
  const start = async (): Promise<Running> => {
    const started = forkHasher(lanes);
    child = started;
    const ended = endOf(started);
    void ended.then((how) => {
      running = undefined;
      if (!isClosing)
        log.error({ how }, 'the process that hashes passwords ended; the next password starts another');
    });
    const problem = await readiness(started, ended);
    if (problem !== null)
      log.warn({ problem }, 'passwords are hashed with the same priority as everything else');
    const onStuck = (): void => {
      log.error({ ms: stuckMs }, 'the process that hashes passwords gives no answer; ending it');
      started.kill('SIGKILL');
    };
    return { child: started, ended, client: clientOf(started, ended, createWatchdog(stuckMs, onStuck)) };
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
      const overdue = setTimeout(() => child?.kill('SIGKILL'), GRACE_MS);
      const last = await running?.catch(() => undefined);
      if (last !== undefined) await end(last);
      clearTimeout(overdue);
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
  const overdue = setTimeout(() => child.kill('SIGKILL'), START_MS);
  const first = await Promise.race([ready, ended]).finally(() => clearTimeout(overdue));
  if (typeof first === 'string')
    throw hasherAway(`the process that hashes passwords could not start: ${first}`);
  return first.problem;
}

function clientOf(child: ChildProcess, ended: Promise<string>, watchdog: Watchdog): HashingClient {
  const client = createHashingClient((question) => {
    watchdog.asked();
    // A question that can't be sent is lost with the process: `lose` answers it.
    child.send(question, () => undefined);
  });
  child.on('message', (message: HashingAnswer) => {
    watchdog.answered();
    client.receive(message);
  });
  void ended.then(() => {
    watchdog.stop();
    client.lose();
  });
  return client;
}

async function end({ child, ended }: Running): Promise<void> {
  if (child.connected) child.disconnect();
  await ended;
}
