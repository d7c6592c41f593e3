/**
 * Mutation tests of the policy: makes one small change after another to src/policy and runs the
 * policy's unit tests on each. A mutant that survives is a rule that no test shows. Run by `npm run
 * test:mutation [-- FILE…]`; exits 1 under 95 % killed, and when the list of equivalent mutants
 * names one that is gone or is killed.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { EQUIVALENT } from './equivalent.ts';
import { type Mutant, mutantsOf } from './mutants.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SOURCES = 'src/policy';
const TESTS = 'test/policy';
const SUPPORT = 'test/support/policy/subjects.ts';
/**
 * What the unit tests of the policy import. Tests that need more (random cases, a list in a file)
 * are too slow to run for each mutant.
 */
const UNIT_TEST_IMPORTS =
  /^(node:assert\/strict|\.\.\/\.\.\/src\/policy\/[a-z]+\.ts|\.\.\/support\/policy\.ts)$/;
const LEAST_SCORE = 95;
/** A mutant may never end: a loop that counts the wrong way, say. */
const PATIENCE_MS = 5_000;

type Fate = 'killed' | 'survived' | 'equivalent';

function main(only: readonly string[]): void {
  const workshop = mkdtempSync(join(tmpdir(), 'cellpass-mutation-'));
  process.on('exit', () => rmSync(workshop, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
  run(workshop, only).then(
    (passed) => process.exit(passed ? 0 : 1),
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
}

async function run(workshop: string, only: readonly string[]): Promise<boolean> {
  const tests = buildOriginal(workshop);
  const mutants = readdirSync(join(ROOT, SOURCES))
    .filter((name) => only.length === 0 || only.includes(name))
    .flatMap((name) => mutantsOf(`${SOURCES}/${name}`, read(`${SOURCES}/${name}`)));
  const queue = mutants.entries();
  const fates = new Map<Mutant, Fate>();
  const lanes = Array.from({ length: availableParallelism() }, async (_, lane) => {
    const bench = new Bench(workshop, `lane-${lane}`, tests);
    if ((await bench.failureOf(undefined)) !== null) throw new Error('the tests fail without any mutant');
    for (const [, mutant] of queue) fates.set(mutant, decide(mutant, await bench.failureOf(mutant)));
    bench.close();
  });
  await Promise.all(lanes);
  return report(mutants, fates, only.length === 0);
}

/**
 * Compiles sources and tests once; each mutant then needs a copy and one file. Returns the test
 * files' names.
 */
function buildOriginal(workshop: string): readonly string[] {
  const original = join(workshop, 'original');
  for (const folder of [SOURCES, TESTS, 'test/support'])
    mkdirSync(join(original, folder), { recursive: true });
  writeFileSync(join(workshop, 'package.json'), '{"type":"module"}');
  const sources = readdirSync(join(ROOT, SOURCES)).map((name) => `${SOURCES}/${name}`);
  const tests = readdirSync(join(ROOT, TESTS))
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => `${TESTS}/${name}`)
    .filter(isUnitTest);
  for (const path of [...sources, ...tests, SUPPORT])
    writeFileSync(join(original, toJs(path)), compile(read(path)));
  return tests.map(toJs);
}

function isUnitTest(path: string): boolean {
  const { importedFiles } = ts.preProcessFile(read(path));
  return importedFiles.every(({ fileName }) => UNIT_TEST_IMPORTS.test(fileName));
}

function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

function toJs(path: string): string {
  return path.replace(/\.ts$/, '.js');
}

function compile(text: string): string {
  const { ESNext } = ts.ModuleKind;
  const compilerOptions = {
    module: ESNext,
    target: ts.ScriptTarget.ES2023,
    rewriteRelativeImportExtensions: true,
    verbatimModuleSyntax: true,
  };
  return ts.transpileModule(text, { compilerOptions }).outputText;
}

/** One worker process and the folders of its mutants. */
class Bench {
  readonly #workshop: string;
  readonly #name: string;
  readonly #tests: readonly string[];
  #worker: ChildProcess | undefined;
  #count = 0;

  constructor(workshop: string, name: string, tests: readonly string[]) {
    this.#workshop = workshop;
    this.#name = name;
    this.#tests = tests;
    process.on('exit', () => this.close());
  }

  /** What fails first with this mutant; null: nothing does. */
  async failureOf(mutant: Mutant | undefined): Promise<string | null> {
    const folder = join(this.#workshop, `${this.#name}-${this.#count++}`);
    cpSync(join(this.#workshop, 'original'), folder, { recursive: true });
    if (mutant !== undefined) writeFileSync(join(folder, toJs(mutant.file)), compile(mutant.mutated));
    const failure = await this.#ask(this.#tests.map((path) => join(folder, path)));
    rmSync(folder, { recursive: true, force: true });
    return failure;
  }

  close(): void {
    this.#worker?.kill('SIGKILL');
    this.#worker = undefined;
  }

  #ask(files: readonly string[]): Promise<string | null> {
    this.#worker ??= fork(fileURLToPath(new URL('./worker.ts', import.meta.url)), {
      execArgv: ['--import=tsx'],
    });
    const worker = this.#worker;
    return new Promise((resolve) => {
      const giveUp = (why: string): void => {
        this.close();
        settle(why);
      };
      const timer = setTimeout(() => giveUp('does not end'), PATIENCE_MS);
      const onExit = (): void => giveUp('ends the process');
      const settle = (failure: string | null): void => {
        clearTimeout(timer);
        worker.removeAllListeners();
        resolve(failure);
      };
      worker.once('message', ({ failure }: { failure: string | null }) => settle(failure));
      worker.once('exit', onExit);
      worker.send(files);
    });
  }
}

/** Prints each mutant as it goes, with the test that noticed it. */
function decide(mutant: Mutant, failure: string | null): Fate {
  const isEquivalent = EQUIVALENT.some((entry) => isSame(entry, mutant));
  const fate = failure !== null ? 'killed' : isEquivalent ? 'equivalent' : 'survived';
  const by = failure === null ? '' : `  [${failure}]`;
  console.log(`${fate.padEnd(10)} ${mutant.file}:${mutant.line}  ${mutant.mutation}${by}`);
  return fate;
}

function isSame(a: Pick<Mutant, 'file' | 'code' | 'mutation'>, b: typeof a): boolean {
  return a.file === b.file && a.code === b.code && a.mutation === b.mutation;
}

function report(mutants: readonly Mutant[], fates: ReadonlyMap<Mutant, Fate>, isWhole: boolean): boolean {
  const having = (fate: Fate): readonly Mutant[] => mutants.filter((mutant) => fates.get(mutant) === fate);
  const killed = having('killed').length;
  const survivors = having('survived');
  const equivalent = having('equivalent');
  const score = (100 * killed) / Math.max(1, killed + survivors.length);
  const stale = isWhole
    ? EQUIVALENT.filter((entry) => !equivalent.some((mutant) => isSame(entry, mutant)))
    : [];

  console.log('');
  for (const { file, line, code, mutation } of survivors)
    console.log(`survived ${basename(file)}:${line}  ${mutation}\n         ${code}`);
  for (const { file, code, mutation } of stale)
    console.log(`no longer equivalent, or gone: ${file}  ${mutation}\n         ${code}`);
  console.log(
    `${mutants.length} mutants: ${killed} killed, ${survivors.length} survived, ${equivalent.length} equivalent: ${score.toFixed(1)} %`,
  );
  return score >= LEAST_SCORE && stale.length === 0;
}

main(process.argv.slice(2));
