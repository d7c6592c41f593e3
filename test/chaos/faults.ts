import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Random } from '../support/random.ts';
import type { Journal } from './journal.ts';
import type { World } from './world.ts';

/** Breaks something for a while, and resolves when it works again. */
type Fault = (world: World, random: Random) => Promise<void>;

const FAULTS: Readonly<Record<string, Fault>> = {
  'PostgreSQL crashes': async ({ postgres }, random) => {
    await postgres.crash();
    await delay(random.below(3000));
    await postgres.start();
  },
  'PostgreSQL restarts': async ({ postgres }) => {
    await postgres.crash();
    await postgres.start();
  },
  'PostgreSQL freezes': async ({ postgres }, random) => {
    postgres.freeze();
    await delay(200 + random.below(4000));
    postgres.thaw();
  },
  'connections of a replica are cut': async ({ replicas }, random) => {
    const { relay } = random.pick(replicas);
    await relay.cut();
    await delay(random.below(3000));
    await relay.mend();
  },
  'connections of a replica are lost once': ({ replicas }, random) => random.pick(replicas).relay.mend(),
  'a replica hears nothing of the database': async ({ replicas }, random) => {
    const { relay } = random.pick(replicas);
    relay.silence();
    await delay(random.below(4000));
    await relay.mend();
  },
  'a replica hears the half of an answer': async ({ replicas }, random) => {
    const { relay } = random.pick(replicas);
    relay.halve();
    await delay(random.below(2000));
    await relay.mend();
  },
  'the database is slow': async ({ replicas }, random) => {
    for (const { relay } of replicas) relay.delay(50 + random.below(900));
    await delay(1000 + random.below(3000));
    for (const { relay } of replicas) await relay.mend();
  },
  'a table is locked': async ({ databaseUrl }, random) => {
    const client = new pg.Client(databaseUrl);
    await client.connect();
    await client.query('BEGIN; LOCK TABLE settings IN ACCESS EXCLUSIVE MODE');
    await delay(random.below(3000));
    await client.end();
  },
  'a worker is killed': async ({ replicas }, random) => {
    const replica = random.pick(replicas);
    const pids = replica.workerPids();
    if (pids.length === 0) return;
    replica.expectLoss();
    process.kill(random.pick(pids), 'SIGKILL');
  },
  'a replica is killed': ({ replicas }, random) => random.pick(replicas).replace('SIGKILL'),
  'a replica is replaced by SIGTERM': ({ replicas }, random) => random.pick(replicas).replace('SIGTERM'),
};

export interface FaultLoop {
  disturbedAtMs(): number;
  stop(): Promise<void>;
}

const PAUSE_MS = 3000;

/**
 * Causes one fault after the other: each kind in turn, in random order, with pauses in which
 * everything must recover.
 */
export function startFaults(world: World, random: Random, journal: Journal): FaultLoop {
  let stopped = false;
  let disturbedAtMs = Number.NEGATIVE_INFINITY;
  const loop = async (): Promise<void> => {
    while (!stopped) {
      for (const name of shuffled(Object.keys(FAULTS), random)) {
        if (stopped) return;
        journal.note(name);
        journal.count(`fault: ${name}`);
        disturbedAtMs = Number.POSITIVE_INFINITY;
        await FAULTS[name]!(world, random);
        disturbedAtMs = performance.now();
        journal.note(`over: ${name}`);
        await delay(random.below(2 * PAUSE_MS));
      }
    }
  };
  const running = loop();
  return {
    disturbedAtMs: () => disturbedAtMs,
    async stop() {
      stopped = true;
      await running;
    },
  };
}

function shuffled<T>(items: readonly T[], random: Random): readonly T[] {
  return items
    .map((item) => ({ item, at: random.next() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item);
}
