import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { load, median } from './load.ts';
import { MACHINE, machineInWords } from './machine.ts';
import { type Size, USUAL } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { CASES, type Case, JOB, ONE_SCOPE } from './token-cases.ts';

/**
 * Tokens a second by a GitLab's database, as a share of those by cellpass's own tables with nothing
 * remembered, in turns on one machine: `npm run bench:gitlab`.
 *
 * - `--large` also with 1,000,000 projects, 5,000,000 tokens and 10,000,000 authorizations, as a
 *   share of the small GitLab
 * - `--seconds N` how long one measurement takes
 * - `--turns N` how many turns the median is of
 */
const { values } = parseArgs({
  options: {
    large: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '5' },
    turns: { type: 'string', default: '5' },
  },
});
const seconds = Number(values.seconds);
const turns = Number(values.turns);
const CONNECTIONS = 16;
const REQUESTS = 1000;
const LARGE: Size = { users: 40_000, groups: 20_000, projects: 1_000_000, accessTokens: 5_000_000 };
const ANONYMOUS = CASES[0];
const DEPLOY = CASES.find(({ name }) => name === 'deploy token');
const MEASURED: readonly Case[] = [ONE_SCOPE, JOB, DEPLOY, ANONYMOUS].flatMap((one) => one ?? []);
const UNCACHED = { directory_cache_bytes: 0 };
const workers = MACHINE.processors;

interface Subject {
  readonly name: string;
  readonly server: BenchServer;
}

const small = { size: USUAL, workers, limits: UNCACHED };
await withServer(small, (own) =>
  withServer({ ...small, onGitlab: true }, async (gitlab) => {
    const subjects: readonly Subject[] = [
      { name: 'own tables', server: own },
      { name: "a GitLab's database", server: gitlab },
    ];
    if (!values.large) return compare(subjects);
    await withServer({ size: LARGE, workers, onGitlab: true }, (large) =>
      compare([...subjects, { name: 'a large one', server: large }]),
    );
  }),
);

async function compare(subjects: readonly Subject[]): Promise<void> {
  console.log(`${machineInWords()}\nmedian of ${turns} turns of ${seconds} s, ${CONNECTIONS} connections\n`);
  console.log(
    `| request | ${subjects.map(({ name }) => `${name}, tokens/s`).join(' | ')} | share of the one before |`,
  );
  console.log(`|---|${subjects.map(() => '---:|').join('')}---|`);
  for (const one of MEASURED) {
    const files = await Promise.all(subjects.map((subject) => writeCase(subject, one)));
    const rates = subjects.map((): number[] => []);
    for (let turn = -1; turn < turns; turn++) {
      for (const [at, { server }] of subjects.entries()) {
        const { perSecond } = await load({
          base: server.base,
          requests: files[at] ?? '',
          seconds,
          connections: CONNECTIONS,
        });
        // The first turn warms up.
        if (turn >= 0) rates[at]?.push(perSecond);
      }
    }
    const medians = rates.map(median);
    const shares = medians.slice(1).map((rate, at) => (rate / (medians[at] ?? 1)).toFixed(2));
    console.log(
      `| ${one.name} | ${medians.map((rate) => rate.toFixed(0)).join(' | ')} | ${shares.join(', ')} |`,
    );
  }
}

async function writeCase({ server, name }: Subject, one: Case): Promise<string> {
  const file = join(server.dir, `${name.replaceAll(/\W/g, '-')}-${one.name.replaceAll(/\W/g, '-')}.txt`);
  const lines = Array.from({ length: REQUESTS }, (_, number) => one.request(server.town, number * 7919));
  await writeFile(file, `${lines.join('\n')}\n`);
  return file;
}
