import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';

/**
 * `npm test`: mocha twice at the same time, because what starts processes mostly waits for them, and the rest mostly computes. Arguments go to
 * both. What the second says is shown when the first is done. Ends with 1 when one of them fails. `npm run test:long` has what takes minutes.
 */
const MOCHA = createRequire(import.meta.url).resolve('mocha/bin/mocha.js');
const LONG = ['test/faults/**', 'test/e2e/cells.test.ts', 'test/e2e/matrix/**'];
const PROCESSES = [
  'test/cli/**/*.test.ts',
  'test/server/**/*.test.ts',
  'test/e2e/*.test.ts',
  'test/security/**/*.test.ts',
];

const [first, second] = [
  startMocha({ specs: PROCESSES, ignored: LONG }, 'inherit'),
  startMocha({ specs: ['test/**/*.test.ts'], ignored: [...LONG, ...PROCESSES] }, 'pipe'),
];
const said: Buffer[] = [];
second.stdout?.on('data', (chunk: Buffer) => said.push(chunk));
second.stderr?.on('data', (chunk: Buffer) => said.push(chunk));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    for (const child of [first, second]) child.kill(signal);
  });
}
const ends = [once(first, 'close'), once(second, 'close')];
const [firstCode] = await ends[0]!;
const [secondCode] = await ends[1]!;
process.stdout.write(Buffer.concat(said));
process.exitCode = firstCode === 0 && secondCode === 0 ? 0 : 1;

function startMocha(
  { specs, ignored }: { readonly specs: readonly string[]; readonly ignored: readonly string[] },
  output: 'inherit' | 'pipe',
): ReturnType<typeof spawn> {
  const ignores = ignored.flatMap((pattern) => ['--ignore', pattern]);
  return spawn(process.execPath, [MOCHA, ...ignores, ...process.argv.slice(2), ...specs], {
    stdio: ['ignore', output, output],
  });
}
