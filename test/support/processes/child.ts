import { spawn } from 'node:child_process';

/** The outcome of a command that has ended. */
export interface Outcome {
  /** Null if a signal ended it. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A server process; the test that starts it must stop it. */
export interface Child {
  readonly name: string;
  /** Undefined if the process could not be started. */
  readonly pid: number | undefined;
  /** Resolves with the exit code when the process has ended; null if a signal ended it. */
  readonly ended: Promise<number | null>;
  /** Everything that the process has printed so far. */
  output(): string;
  running(): boolean;
  signal(name: NodeJS.Signals): void;
  /** Sends SIGTERM, and SIGKILL after a grace period; resolves when the process has ended. */
  stop(): Promise<void>;
}

export interface RunOptions {
  /** The whole environment except PATH, which is inherited. */
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly input?: string;
  readonly timeoutMs?: number;
}

const GRACE_MS = 10_000;
const alive = new Set<number>();
// If mocha is interrupted, none of its servers keeps running.
process.on('exit', () => {
  for (const pid of alive) killQuietly(pid);
});

export function startChild(name: string, command: string, args: string[], options: RunOptions = {}): Child {
  const child = spawn(command, args, {
    env: environment(options.env),
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  let running = true;
  const ended = new Promise<number | null>((resolve) => {
    const end = (line: string, code: number | null) => {
      running = false;
      output += line;
      if (child.pid !== undefined) alive.delete(child.pid);
      resolve(code);
    };
    child.once('error', (error) => end(`${error.message}\n`, null));
    child.once('exit', (code, signal) => end(`${name} ended: ${signal ?? code}\n`, code));
  });
  if (child.pid !== undefined) alive.add(child.pid);
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  return {
    name,
    pid: child.pid,
    ended,
    output: () => output,
    running: () => running,
    signal: (signal) => {
      child.kill(signal);
    },
    async stop() {
      if (!running) return;
      child.kill('SIGTERM');
      // A process stopped by SIGSTOP would not receive SIGTERM.
      child.kill('SIGCONT');
      const impatience = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
      await ended;
      clearTimeout(impatience);
    },
  };
}

/** Runs a command to its end. Throws only if it can't be started, not if it fails. */
export function runToEnd(command: string, args: string[], options: RunOptions = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: environment(options.env),
      cwd: options.cwd,
      stdio: 'pipe',
      timeout: options.timeoutMs ?? 30_000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, stdout, stderr }));
    // A command that refuses early doesn't read its input; the test must not fail for that.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Calls `check` until it returns a value, and fails with `about()` when time is up. */
export async function until<T>(
  check: () => Promise<T | undefined> | T | undefined,
  about: () => string,
  timeoutMs = 30_000,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await check();
    if (answer !== undefined) return answer;
    if (Date.now() > deadline) throw new Error(about());
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function environment(own: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], ...own };
}

function killQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // The process has ended already.
  }
}
