import { setTimeout as delay } from 'node:timers/promises';
import type { AdminAnswer } from '../support/admin-api.ts';
import type { Random } from '../support/random.ts';
import type { Issued } from './issued.ts';
import type { Journal } from './journal.ts';
import { changeState, documentOf, type Secrets, type Timeline } from './model.ts';
import type { Replica } from './world.ts';

export interface ChangeOptions {
  readonly replicas: readonly Replica[];
  readonly timeline: Timeline;
  readonly secrets: Secrets;
  readonly random: Random;
  readonly journal: Journal;
  readonly issued: Issued;
}

const PAUSE_MS = 500;
/** One key change for this many directory changes. */
const KEYS_ONE_IN = 8;

export interface Changes {
  stop(): Promise<void>;
}

/** Changes the directory and the keys, one change after the other, each on a random replica. */
export function startChanges(options: ChangeOptions): Changes {
  const { random } = options;
  let stopped = false;
  const loop = async (): Promise<void> => {
    while (!stopped) {
      const replica = random.pick(options.replicas);
      if (random.below(KEYS_ONE_IN) === 0) await changeKeys(replica, options);
      else await changeDirectory(replica, options);
      await delay(random.below(2 * PAUSE_MS));
    }
  };
  const running = loop();
  return {
    async stop() {
      stopped = true;
      await running;
    },
  };
}

async function changeDirectory(replica: Replica, options: ChangeOptions): Promise<void> {
  const { timeline, secrets, random, journal } = options;
  const { name, next } = changeState(timeline.latest(), random);
  const change = timeline.begin(next);
  const answer = await replica.admin.send('POST', '/admin/v1/directory', documentOf(next, secrets, false));
  record(journal, name, replica, answer);
  if (answer.status === 200) change.acknowledge();
  else if (![0, 503].includes(answer.status)) {
    journal.violate('a change was refused', { name, ...answer });
    change.refuse();
  }
}

interface ListedKey {
  readonly kid: string;
  readonly state: string;
}

async function changeKeys(replica: Replica, { random, journal, issued }: ChangeOptions): Promise<void> {
  const listed = await replica.admin.send('GET', '/admin/v1/keys');
  if (listed.status !== 200) return;
  const { keys }: { readonly keys: readonly ListedKey[] } = JSON.parse(listed.body);
  assertOneActive(keys, journal);
  const pending = keys.find(({ state }) => state === 'pending');
  if (pending === undefined) {
    record(journal, 'stage a key', replica, await replica.admin.send('POST', '/admin/v1/keys/stage', {}));
  } else if (random.below(4) > 0) {
    const answer = await replica.admin.send('POST', '/admin/v1/keys/rotate', { force: true });
    record(journal, 'rotate the keys', replica, answer);
  } else {
    const victim = random.pick(keys.filter(({ state }) => state === 'active' || state === 'pending'));
    // Note the time before the request: the change may take effect at any moment until the answer.
    issued.revokeKey(victim.kid);
    const body = { kid: victim.kid, reason: 'chaos' };
    const answer = await replica.admin.send('POST', '/admin/v1/keys/revoke', body);
    record(journal, `revoke the ${victim.state} key`, replica, answer);
  }
}

export function assertOneActive(keys: readonly ListedKey[], journal: Journal): void {
  const active = keys.filter(({ state }) => state === 'active');
  if (active.length !== 1) journal.violate('not exactly one active key', { keys });
}

function record(journal: Journal, name: string, replica: Replica, { status, body }: AdminAnswer): void {
  const outcome = status === 200 || status === 201 ? 'done' : status === 0 ? 'unknown' : String(status);
  journal.count(`change: ${name}: ${outcome}`);
  journal.note(name, { replica: replica.name, status, ...(status >= 400 && { body }) });
}
