import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { newSecret } from '../support/directory/town.ts';
import { createRandom } from '../support/random.ts';
import { startChanges } from './changes.ts';
import { startClients } from './clients.ts';
import { startFaults } from './faults.ts';
import { createIssued } from './issued.ts';
import { createJournal, type Journal } from './journal.ts';
import { createTimeline, documentOf, firstState, type Secrets, STEADY, USERS } from './model.ts';
import { startPulls } from './pulls.ts';
import { assertSettled, watchKeys } from './settle.ts';
import { openWorld } from './world.ts';

/**
 * Runs two replicas on one PostgreSQL and clients that ask them for tokens, and causes every kind
 * of fault: `npm run chaos -- --seconds 300 --seed 7`. Prints the violations and the end of the
 * journal, and exits with 1, if an answer or a state was wrong.
 */
const CLIENTS = 8;
/** How many events of the journal are printed after a violation. */
const SHOWN_LINES = 400;

const { values } = parseArgs({ options: { seconds: { type: 'string' }, seed: { type: 'string' } } });
const seconds = Number(values.seconds ?? 300);
const seed = Number(values.seed ?? randomInt(2 ** 31));
console.log(`chaos for ${seconds} s, seed ${seed}`);

const journal = createJournal(performance.now());
const durations = await run();
report(journal, durations);
process.exitCode = journal.violations.length > 0 ? 1 : 0;

async function run(): Promise<readonly number[]> {
  const world = await openWorld();
  try {
    const secrets: Secrets = {
      passwords: Object.fromEntries([...USERS, STEADY].map((user) => [user, newSecret('pass-')])),
      steadyToken: newSecret('glpat-'),
    };
    const first = firstState();
    const [replica] = world.replicas;
    const applied = await replica!.admin.send(
      'POST',
      '/admin/v1/directory',
      documentOf(first, secrets, true),
    );
    if (applied.status !== 200) throw new Error(applied.body);

    const random = createRandom(seed);
    const issued = createIssued(journal);
    const shared = {
      replicas: world.replicas,
      timeline: createTimeline(first),
      secrets,
      random,
      journal,
      issued,
    };
    const pulls = await startPulls(world, secrets, journal);
    const watch = watchKeys(world.databaseUrl, journal);
    const faults = startFaults(world, random, journal);
    const clients = startClients(CLIENTS, { ...shared, disturbedAtMs: faults.disturbedAtMs });
    const changes = startChanges(shared);
    await delay(seconds * 1000);
    await faults.stop();
    await changes.stop();
    await delay(1000);
    await assertSettled(world, shared);
    await clients.stop();
    await pulls?.stop();
    watch.stop();
    journal.note('tokens verified', { count: issued.verified });
    return clients.durations;
  } finally {
    await world.close();
  }
}

function report({ counts, violations, lines }: Journal, durationsMs: readonly number[]): void {
  for (const [what, count] of [...counts].sort(([a], [b]) => a.localeCompare(b)))
    console.log(`${String(count).padStart(7)}  ${what}`);
  const sorted = durationsMs.toSorted((a, b) => a - b);
  const at = (share: number): string =>
    `${Math.round(sorted[Math.floor(share * (sorted.length - 1))] ?? 0)} ms`;
  console.log(`answers: p50 ${at(0.5)}, p99 ${at(0.99)}, slowest ${at(1)}`);
  for (const line of lines.slice(-2)) console.log(line);
  if (violations.length === 0) {
    console.log('nothing was violated');
    return;
  }
  for (const line of lines.slice(-SHOWN_LINES)) console.error(line);
  for (const violation of violations) console.error(`VIOLATED: ${violation}`);
}
