import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { generateFirstKeys } from '../../src/keys/first-start.ts';
import type {
  KeyCertificate,
  KeyChange,
  KeyEvent,
  KeySet,
  KeyStore,
  StoredKey,
} from '../../src/keys/key-set.ts';
import { createKeyring, type Keyring, type KeyringOptions } from '../../src/keys/keyring.ts';
import { createMasterKey, type MasterKey } from '../../src/keys/master-key.ts';

export const HOUR_MS = 60 * 60 * 1000;
/** The time of the first start of the cells in these tests. */
export const START = '2026-11-24T10:00:00Z';
export const LEAF_HOURS = 48;
export const LONGEST_TOKEN_SECONDS = 3600;
export const UNAVAILABLE = { code: 'unavailable' };

export function randomMasterKey(): Promise<MasterKey> {
  return createMasterKey(randomBytes(32), 'master.key');
}

/** A clock that moves only when a test moves it. */
export interface Clock {
  readonly now: () => Date;
  /** Counts only the time of `advance`, not of `set`. */
  readonly monotonicMs: () => number;
  advance(ms: number): void;
  /** Moves the clock without time passing. */
  set(ms: number): void;
}

export function clockAt(iso: string): Clock {
  let time = new Date(iso).getTime();
  let passed = 0;
  return {
    now: () => new Date(time),
    monotonicMs: () => passed,
    advance(ms) {
      time += ms;
      passed += ms;
    },
    set(ms) {
      time += ms;
    },
  };
}

/**
 * A key store in memory whose data are copied like a database's. `fail` makes reads, writes or both
 * throw.
 */
export interface MemoryKeyStore extends KeyStore {
  fail: 'read' | 'update' | undefined;
  reads: number;
  updates: number;
  set: KeySet;
  readonly events: KeyEvent[];
}

export function memoryKeyStore(): MemoryKeyStore {
  return {
    fail: undefined,
    reads: 0,
    updates: 0,
    set: { authorities: [], keys: [] },
    events: [],
    async readKeySet() {
      this.reads += 1;
      if (this.fail === 'read') throw new Error('the database is away');
      return structuredClone(this.set);
    },
    async updateKeySet(change) {
      if (this.fail !== undefined) throw new Error('the database is read-only');
      this.updates += 1;
      const { set, events } = change(this.set);
      this.set = structuredClone(set);
      this.events.push(...events);
      return structuredClone(this.set);
    },
    async readKeyEvents(limit) {
      return this.events.toReversed().slice(0, limit);
    },
  };
}

/** A change without key events. */
export function unrecorded(change: (set: KeySet) => KeySet): (set: KeySet) => KeyChange {
  return (set) => ({ set: change(set), events: [] });
}

/** Collects log lines: level, message and fields as one text. */
export interface MemoryLog {
  readonly lines: string[];
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export function memoryLog(): MemoryLog {
  const lines: string[] = [];
  return {
    lines,
    info: (fields, message) => lines.push(`info ${message} ${JSON.stringify(fields)}`),
    warn: (fields, message) => lines.push(`warn ${message} ${JSON.stringify(fields)}`),
  };
}

const open: Keyring[] = [];

/** Opens a keyring that `closeKeyrings` closes after the test. It practically never polls. */
export async function openKeyring(
  options: Partial<KeyringOptions> & Pick<KeyringOptions, 'store' | 'masterKey'>,
): Promise<Keyring> {
  const keyring = await createKeyring({
    now: () => new Date(),
    cellId: 1,
    leafHours: 48,
    longestTokenLifeSeconds: LONGEST_TOKEN_SECONDS,
    log: memoryLog(),
    pollMs: 2 ** 30,
    ...options,
  });
  open.push(keyring);
  return keyring;
}

export async function closeKeyrings(): Promise<void> {
  await Promise.all(open.splice(0).map((keyring) => keyring.close()));
}

/** Runs `work` in a temporary folder, and removes it. */
export async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'cellpass-keys-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/**
 * Verifies a leaf certificate as registries do, at the time `at`, against a bundle with only the
 * CA. Returns the output of openssl, or throws.
 */
export async function opensslVerify(caPem: string, leafPem: string, at: Date): Promise<string> {
  return inTemporaryFolder(async (folder) => {
    const [ca, leaf] = [join(folder, 'ca.pem'), join(folder, 'leaf.pem')];
    await Promise.all([writeFile(ca, caPem), writeFile(leaf, leafPem)]);
    const time = String(Math.floor(at.getTime() / 1000));
    const args = [
      'verify',
      '-x509_strict',
      '-no-CApath',
      '-no-CAstore',
      '-attime',
      time,
      '-CAfile',
      ca,
      leaf,
    ];
    return (await promisify(execFile)('openssl', args)).stdout;
  });
}

export async function opensslText(pem: string): Promise<string> {
  return inTemporaryFolder(async (folder) => {
    const file = join(folder, 'certificate.pem');
    await writeFile(file, pem);
    return (await promisify(execFile)('openssl', ['x509', '-in', file, '-noout', '-text'])).stdout;
  });
}

/** Whether openssl is not installed; the tests that need it are then skipped. */
export async function opensslIsMissing(): Promise<boolean> {
  return promisify(execFile)('openssl', ['version']).then(
    () => false,
    () => true,
  );
}

/** A cell with its first keys; each test gets a new copy. */
export interface Cell {
  readonly masterKey: MasterKey;
  readonly store: MemoryKeyStore;
  readonly clock: Clock;
  /** The key set after the first start. */
  readonly started: KeySet;
  /** Opens a keyring on the cell's store, with the cell's clock. */
  start(options?: Partial<KeyringOptions>): Promise<Keyring>;
  /** Changes the stored keys as another process would. */
  changeKeys(change: (key: StoredKey) => StoredKey): Promise<void>;
}

let made: Promise<{ readonly masterKey: MasterKey; readonly set: KeySet }> | undefined;

/** Generating keys is slow, so all tests share the first ones. */
export async function startedCell(): Promise<Cell> {
  made ??= firstKeys();
  const { masterKey, set: started } = await made;
  const store = memoryKeyStore();
  store.set = structuredClone(started);
  const clock = clockAt(START);
  return {
    masterKey,
    store,
    clock,
    started,
    start: (options) =>
      openKeyring({
        store,
        masterKey,
        now: clock.now,
        monotonicMs: clock.monotonicMs,
        leafHours: LEAF_HOURS,
        ...options,
      }),
    async changeKeys(change) {
      await store.updateKeySet(unrecorded((set) => ({ ...set, keys: set.keys.map(change) })));
    },
  };
}

async function firstKeys(): Promise<{ readonly masterKey: MasterKey; readonly set: KeySet }> {
  const masterKey = await randomMasterKey();
  const input = {
    cellId: 1,
    masterKey,
    now: new Date(START),
    leafHours: LEAF_HOURS,
    longestTokenSeconds: LONGEST_TOKEN_SECONDS,
  };
  return { masterKey, set: await generateFirstKeys({ authorities: [], keys: [] }, input) };
}

/** The key ids in the published JWK Set. */
export function publishedIds(keyring: Keyring): readonly string[] {
  return keyring.published().jwks.keys.map(({ kid }) => kid);
}

/** The active key's leaf certificate. */
export function leafOf(keyring: Keyring): KeyCertificate {
  const { certificate } = keyring.active();
  assert.ok(certificate);
  return certificate;
}
