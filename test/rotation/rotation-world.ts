import assert from 'node:assert/strict';
import { CellpassError } from '../../src/errors.ts';
import { issueLeaf } from '../../src/keys/certificate.ts';
import type { KeyChange, KeySet, KeyStore, StoredKey } from '../../src/keys/key-set.ts';
import { createKeyring, type Keyring } from '../../src/keys/keyring.ts';
import type { MasterKey } from '../../src/keys/master-key.ts';
import { generateSigningKey } from '../../src/keys/signing-key.ts';
import { KeyOperations } from '../../src/rotation/keys.ts';
import { createSchedule, type Schedule } from '../../src/rotation/schedule.ts';
import { clockAt, memoryKeyStore, memoryLog, START } from '../support/keys.ts';

const PROPAGATION_SECONDS = 300;
const ROTATE_EVERY_SECONDS = 86_400;
export const LONGEST_SECONDS = 600;
const MAX_STALE_MS = 10_000;
const PERIODS = { propagationSeconds: PROPAGATION_SECONDS, rotateEverySeconds: ROTATE_EVERY_SECONDS };

/**
 * Where a process may die in a step: before it changed the database, after it, or while it reads
 * what became of it.
 */
export type CrashPoint = 'before' | 'after' | 'reading';

interface Step {
  readonly do: 'stage' | 'activate' | 'force' | 'rotate' | 'drop' | 'revoke_active' | 'tick';
  readonly replica: number;
  readonly crash?: CrashPoint | undefined;
}

export type Command =
  | Step
  | { readonly do: 'rotate_on_all' }
  | { readonly do: 'pass' | 'jump'; readonly seconds: number }
  | { readonly do: 'cut' | 'heal'; readonly replica: number };

/**
 * A token that some replica signed; times in milliseconds, by the wall clock or by time that
 * passed.
 */
interface Issued {
  readonly kid: string;
  readonly expires: number;
  readonly passed: number;
}

interface Replica {
  keyring: Keyring;
  administration: KeyOperations;
  schedule: Schedule;
  readonly link: Link;
}

/** A replica's way to the database, which can be cut, and where its process can die. */
interface Link extends KeyStore {
  cut: boolean;
  crash: CrashPoint | undefined;
}

class Crash extends Error {}

/**
 * Keys that were made once, because making them is slow; each world starts with none of them in
 * use.
 */
export type KeyPool = readonly StoredKey[];

export async function makeKeyPool(
  input: Parameters<typeof generateSigningKey>[0],
  size: number,
): Promise<KeyPool> {
  return Promise.all(Array.from({ length: size }, () => generateSigningKey(input)));
}

/**
 * Replicas of one cell on one database, with a clock that can be set, and everything that was
 * signed.
 */
export class World {
  readonly clock = clockAt(START);
  readonly store = memoryKeyStore();
  readonly issued: Issued[] = [];
  readonly replicas: Replica[] = [];
  readonly #masterKey: MasterKey;
  readonly #pool: StoredKey[];
  readonly #publishedAt = new Map<string, number>();
  readonly #leftActiveAt = new Map<string, number>();
  #eventsSeen = 0;

  constructor(start: KeySet, masterKey: MasterKey, pool: KeyPool) {
    this.store.set = structuredClone(start);
    this.#masterKey = masterKey;
    this.#pool = [...pool];
    for (const { kid } of start.keys) this.#publishedAt.set(kid, Number.NEGATIVE_INFINITY);
  }

  async start(replicas: number): Promise<void> {
    for (let i = 0; i < replicas; i++) this.replicas.push(await this.#startReplica());
    await this.look();
  }

  async run(command: Command): Promise<void> {
    switch (command.do) {
      case 'pass':
        this.clock.advance(command.seconds * 1000);
        break;
      case 'jump':
        this.clock.set(command.seconds * 1000);
        break;
      case 'cut':
      case 'heal':
        this.#replica(command.replica).link.cut = command.do === 'cut';
        break;
      case 'rotate_on_all':
        await this.#rotateOnAll();
        break;
      default:
        await this.#step(command);
    }
    await this.look();
  }

  /**
   * Every replica polls, as each does every second, and signs; then everything that must hold is
   * held against what is there.
   */
  async look(): Promise<void> {
    this.#followEvents();
    for (const { keyring } of this.replicas) await keyring.refresh().catch(() => undefined);
    this.#checkPublished();
    this.#checkAgreement();
    for (const replica of this.replicas) this.#sign(replica);
  }

  async close(): Promise<void> {
    for (const { keyring } of this.replicas) await keyring.close();
  }

  #replica(index: number): Replica {
    const replica = this.replicas[index % this.replicas.length];
    assert.ok(replica);
    return replica;
  }

  async #step(command: Step): Promise<void> {
    const replica = this.#replica(command.replica);
    replica.link.crash = command.crash;
    try {
      await this.#take(replica, command.do);
    } catch (error) {
      if (error instanceof Crash) await this.#restart(replica);
      else assert.ok(error instanceof CellpassError || /is away/.test(String(error)), String(error));
    }
    replica.link.crash = undefined;
  }

  async #take({ administration, schedule }: Replica, what: Command['do']): Promise<void> {
    const actor = 'an admin';
    const { keys } = this.store.set;
    const inState = (state: StoredKey['state']): string =>
      keys.find((key) => key.state === state)?.kid ?? '?';
    if (what === 'stage') await administration.stage({ actor });
    if (what === 'activate') await administration.activate(undefined, { actor });
    if (what === 'force') await administration.activate(undefined, { actor, force: true });
    if (what === 'rotate') await administration.rotate({ actor });
    if (what === 'drop') await administration.retire(inState('pending'), { actor });
    if (what === 'revoke_active') await administration.revoke(inState('active'), 'a test', { actor });
    if (what === 'tick') await schedule.tick();
  }

  /** Whoever comes second is told so, and nothing is done twice. */
  async #rotateOnAll(): Promise<void> {
    const before = this.store.events.length;
    const outcomes = await Promise.allSettled(
      this.replicas.map(({ administration }) => administration.rotate({ actor: 'an admin' })),
    );
    const done = outcomes.filter(({ status }) => status === 'fulfilled').length;
    assert.ok(done <= 1, 'two rotated at once');
    assert.ok(this.store.events.length - before <= 2);
  }

  async #restart(replica: Replica): Promise<void> {
    replica.link.crash = undefined;
    replica.link.cut = false;
    await replica.keyring.close();
    const { keyring, administration, schedule } = await this.#startReplica(replica.link);
    Object.assign(replica, { keyring, administration, schedule });
  }

  async #startReplica(link = this.#link()): Promise<Replica> {
    const { now, monotonicMs } = this.clock;
    const masterKey = {
      ...this.#masterKey,
      prepareNext: async () => this.#masterKey,
      adoptNext: async () => '',
    };
    const common = { now, cellId: 1, leafHours: 48, longestTokenLifeSeconds: LONGEST_SECONDS };
    const keyring = await createKeyring({
      ...common,
      store: link,
      masterKey,
      log: memoryLog(),
      pollMs: 2 ** 30,
      monotonicMs,
    });
    const administration = new KeyOperations({
      ...common,
      store: link,
      keyring,
      masterKey,
      probe: async () => [],
      periods: PERIODS,
      generateKey: (input) => this.#nextKey(input),
    });
    const schedule = createSchedule({
      periods: PERIODS,
      currentSet: () => keyring.open().set,
      moment: () => ({ now: now(), skippedMsSince: keyring.clock.skippedMsSince }),
      exclusively: async (work) => {
        await work();
        return true;
      },
      stage: () => administration.stage({ actor: 'schedule' }),
      rotate: () => administration.rotate({ actor: 'schedule' }),
      log: memoryLog(),
    });
    return { keyring, administration, schedule, link };
  }

  #link(): Link {
    const { store } = this;
    const link: Link = {
      cut: false,
      crash: undefined,
      async readKeySet() {
        if (link.cut) throw new Error('the database is away');
        return store.readKeySet();
      },
      async updateKeySet(change: (set: KeySet) => KeyChange) {
        if (link.cut) throw new Error('the database is away');
        if (link.crash === 'before') throw new Crash();
        const set = await store.updateKeySet(change);
        if (link.crash === 'after') throw new Crash();
        if (link.crash === 'reading') link.cut = true;
        return set;
      },
      readKeyEvents: (limit) => store.readKeyEvents(limit),
    };
    return link;
  }

  async #nextKey(input: Parameters<typeof generateSigningKey>[0]): Promise<StoredKey> {
    const key = this.#pool.pop();
    if (key === undefined) throw new CellpassError('unavailable', 'the pool of keys is used up');
    const { authority, now, leafHours } = input;
    return { ...key, createdAt: now, certificate: await issueLeaf({ authority, key, now, leafHours }) };
  }

  #sign({ keyring }: Replica): void {
    try {
      const { kid } = keyring.active();
      const passed = this.clock.monotonicMs();
      const left = this.#leftActiveAt.get(kid);
      assert.ok(left === undefined || passed - left <= MAX_STALE_MS, `${kid} signs long after its end`);
      this.issued.push({ kid, expires: this.clock.now().getTime() + LONGEST_SECONDS * 1000, passed });
    } catch (error) {
      if (!(error instanceof CellpassError)) throw error;
    }
  }

  /**
   * When each key was published and left, by time that passed, and whether it was let sign by the
   * right of time.
   */
  #followEvents(): void {
    const passed = this.clock.monotonicMs();
    const { events, set } = this.store;
    for (const { action, subject, reason } of events.slice(this.#eventsSeen)) {
      assert.ok(subject);
      if (action === 'stage') this.#publishedAt.set(subject, passed);
      if (action !== 'activate' || reason !== 'published for the propagation time') continue;
      const published = this.#publishedAt.get(subject) ?? Number.POSITIVE_INFINITY;
      assert.ok(passed - published >= PROPAGATION_SECONDS * 1000, `${subject} signs too early`);
    }
    this.#eventsSeen = events.length;
    for (const { kid, state, encryptedPrivateKey } of set.keys) {
      const signs = state === 'active' || state === 'pending';
      assert.equal(encryptedPrivateKey !== null, signs, `${kid}: ${state} and its private half`);
      if (!signs && !this.#leftActiveAt.has(kid)) this.#leftActiveAt.set(kid, passed);
    }
    assert.equal(set.keys.filter(({ state }) => state === 'active').length, 1, 'exactly one is active');
  }

  #checkPublished(): void {
    const now = this.clock.now().getTime();
    const revoked = new Set(
      this.store.set.keys.filter(({ state }) => state === 'revoked').map(({ kid }) => kid),
    );
    for (const { kid, expires } of this.issued) {
      if (expires <= now || revoked.has(kid)) continue;
      for (const { keyring, link } of this.replicas) {
        if (link.cut) continue;
        const ids = keyring.published().jwks.keys.map((jwk) => jwk.kid);
        assert.ok(ids.includes(kid), `${kid} is not published, but its token lives`);
      }
    }
  }

  #checkAgreement(): void {
    const views = this.replicas
      .filter(({ link }) => !link.cut)
      .map(({ keyring }) =>
        [
          keyring.published().etag,
          keyring.open().set.keys.find(({ state }) => state === 'active')?.kid,
          keyring.caPem(),
        ].join(' '),
      );
    assert.ok(new Set(views).size <= 1, 'replicas differ');
  }
}
