import pg from 'pg';
import { until } from '../support/processes/child.ts';
import { assertOneActive } from './changes.ts';
import type { Issued } from './issued.ts';
import type { Journal } from './journal.ts';
import { documentOf, type Secrets, type Timeline } from './model.ts';
import type { World } from './world.ts';

/** Everything must work again this long after the last fault. */
const HEALED_MS = 15_000;

/** Checks in the database, every second, that exactly one key is active. */
export function watchKeys(databaseUrl: string, journal: Journal): { stop(): void } {
  const look = async (): Promise<void> => {
    const client = new pg.Client({
      connectionString: databaseUrl,
      connectionTimeoutMillis: 500,
      query_timeout: 500,
    });
    client.on('error', () => undefined);
    try {
      await client.connect();
      const { rows } = await client.query("SELECT kid, state FROM signing_keys WHERE state = 'active'");
      assertOneActive(rows, journal);
      journal.count('look at the active key');
    } catch {
      // The database is away at the moment.
    } finally {
      await client.end().catch(() => undefined);
    }
  };
  const timer = setInterval(() => void look(), 1000);
  return { stop: () => clearInterval(timer) };
}

/** Checks what must hold after the last fault and the last change. */
export async function assertSettled(
  world: World,
  {
    timeline,
    secrets,
    journal,
    issued,
  }: {
    readonly timeline: Timeline;
    readonly secrets: Secrets;
    readonly journal: Journal;
    readonly issued: Issued;
  },
): Promise<void> {
  const { replicas } = world;
  for (const replica of replicas) {
    await until(
      async () => ((await fetch(`${replica.url}/readyz`).catch(() => undefined))?.ok ? true : undefined),
      () => `replica ${replica.name} does not heal`,
      HEALED_MS,
    ).catch((error: unknown) => journal.violate(String(error)));
    const { body } = await replica.admin.send('GET', '/admin/v1/keys');
    assertOneActive(JSON.parse(body).keys, journal);
  }
  await assertKept(world, { timeline, secrets, journal });
  journal.note('verified again', { tokens: await issued.verifyAll(replicas) });
}

/** Applying the acknowledged state must change nothing; otherwise a change was lost. */
async function assertKept(
  { replicas }: World,
  {
    timeline,
    secrets,
    journal,
  }: { readonly timeline: Timeline; readonly secrets: Secrets; readonly journal: Journal },
): Promise<void> {
  for (const { name, admin } of replicas) {
    const isCertain = timeline.since(performance.now()).length === 1;
    const state = timeline.latest();
    const change = timeline.begin(state);
    const { status, body } = await admin.send(
      'POST',
      '/admin/v1/directory',
      documentOf(state, secrets, false),
    );
    if (status !== 200)
      journal.violate('the directory can not be changed any more', { replica: name, status, body });
    else if (isCertain && JSON.parse(body).changed) {
      journal.violate('the directory is not what was acknowledged', { replica: name, body });
    }
    change.acknowledge();
  }
}
