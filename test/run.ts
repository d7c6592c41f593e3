import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';

/**
 * `npm test`, and with `--long` first `npm run test:long`: runs the tests in parts, a mocha process
 * for each processor at a time, and prints at the end how long each part took. Other arguments go to
 * every part. Exits with 1 when a part fails.
 */
interface Part {
  readonly name: string;
  readonly specs: readonly string[];
  readonly ignored: readonly string[];
  /** Which of them, by their titles. */
  readonly chosen: readonly string[];
}

interface Result {
  readonly name: string;
  readonly passed: boolean;
  readonly seconds: number;
  /** What mocha printed of the failed tests, or the end of the output if it printed none. */
  readonly failures: string;
}

const MOCHA = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
/** Two also on one processor, because tests wait a lot; more than the parts would change nothing. */
const AT_A_TIME = Math.max(2, availableParallelism());
/** Of a part that ended without mocha's list of failures. */
const LAST_LINES = 20;
/** Tests that break things, that start whole programs again and again, or that compute for long. */
const LONG_FOLDERS = ['faults', 'e2e', 'cli/commands'];
const LONG_FILES = 'test/**/*.long.test.ts';
const LONG = [...LONG_FOLDERS.map((folder) => `test/${folder}/**`), LONG_FILES];
const ALL = ['test/**/*.test.ts'];
const MATRIX = 'test/e2e/matrix/**';
/** The embedded database computes in the process of the tests, for minutes in all. */
const EMBEDDED = ['--grep', 'PGlite'];
const OTHERS = [...EMBEDDED, '--invert'];
/**
 * All others are the longest part, and run first, so that all processes end at about the same time.
 * Few parts, because each loads the sources and starts a PostgreSQL of its own.
 */
const FOLDERS = ['http', 'store', 'directory', 'server'] as const;

const [first, ...rest] = process.argv.slice(2);
const isLong = first === '--long';
const passedOn = isLong || first === undefined ? rest : [first, ...rest];
const choosesItself = passedOn.some((argument) => /^(-g|-f|--f?grep)/.test(argument));
const started = performance.now();
const running = new Set<ChildProcess>();
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    waiting.length = 0;
    for (const child of running) child.kill(signal);
  });
}
const show = inOrder();
const all = isLong ? longParts() : parts();
const waiting = [...all.entries()];
const results: Result[] = [];
await Promise.all(
  Array.from({ length: AT_A_TIME }, async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      results.push(await run(...next));
    }
  }),
);
console.log(`\n${results.map(inWords).join('\n')}\nall parts: ${secondsSince(started)} s`);
// Once more at the end, because what a part printed is far above here.
for (const { name, passed, failures } of results)
  if (!passed) console.log(`\nfailed in ${name}:\n${failures}`);
process.exitCode = results.every(({ passed }) => passed) && results.length === all.length ? 0 : 1;

function parts(): readonly Part[] {
  const named = FOLDERS.map((folder) => partOf(folder, LONG, OTHERS));
  const ignored = [...LONG, ...named.flatMap(({ specs }) => specs)];
  return [{ name: 'all others', specs: ALL, ignored, chosen: OTHERS }, ...named];
}

function longParts(): readonly Part[] {
  return [
    ...LONG_FOLDERS.map((folder) => partOf(folder, [MATRIX], [])),
    { name: 'other long tests', specs: [LONG_FILES], ignored: [], chosen: [] },
    { name: 'on PGlite', specs: ALL, ignored: LONG, chosen: EMBEDDED },
  ];
}

function partOf(folder: string, ignored: readonly string[], chosen: readonly string[]): Part {
  return { name: folder, specs: [`test/${folder}/**/*.test.ts`], ignored, chosen };
}

async function run(at: number, { name, specs, ignored, chosen }: Part): Promise<Result> {
  const startedAt = performance.now();
  const ignores = ignored.flatMap((pattern) => ['--ignore', pattern]);
  const color = process.stdout.isTTY ? ['--color'] : [];
  const child = spawn(
    process.execPath,
    [MOCHA, ...color, ...ignores, ...(choosesItself ? [] : chosen), ...passedOn, ...specs],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  running.add(child);
  const printed: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk) => {
      printed.push(chunk);
      show.write(at, chunk);
    });
  }
  const [code] = await once(child, 'close');
  running.delete(child);
  show.end(at);
  const failures = failuresIn(Buffer.concat(printed).toString());
  return { name, passed: code === 0, seconds: secondsSince(startedAt), failures };
}

function failuresIn(output: string): string {
  const start = output.search(/^ *\S*\d+ failing/mu);
  return start === -1 ? output.split('\n').slice(-LAST_LINES).join('\n') : output.slice(start).trimEnd();
}

/**
 * Shows what the parts print one part after the other: the first that still runs at once, the
 * others later.
 */
function inOrder(): { write(at: number, chunk: Buffer): void; end(at: number): void } {
  const held: Buffer[][] = [];
  const ended = new Set<number>();
  let current = 0;
  const flush = (): void => {
    for (const chunk of held[current]?.splice(0) ?? []) process.stdout.write(chunk);
  };
  return {
    write(at, chunk) {
      held[at] ??= [];
      held[at].push(chunk);
      flush();
    },
    end(at) {
      ended.add(at);
      while (ended.has(current)) {
        current += 1;
        flush();
      }
    },
  };
}

function inWords({ name, passed, seconds }: Result): string {
  return `${passed ? 'passed' : 'FAILED'}  ${String(seconds).padStart(4)} s  ${name}`;
}

function secondsSince(startedAt: number): number {
  return Math.round((performance.now() - startedAt) / 1000);
}
