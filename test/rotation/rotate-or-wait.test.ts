import assert from 'node:assert/strict';
import type { Keyring } from '../../src/keys/keyring.ts';
import { KeyOperations } from '../../src/rotation/keys.ts';
import { type Cell, closeKeyrings, LEAF_HOURS, LONGEST_TOKEN_SECONDS, startedCell } from '../support/keys.ts';

const ACTOR = { actor: 'test' };
const OTHER = { actor: 'another admin' };
const PROPAGATION_SECONDS = 300;

describe('a rotation that waits, while another admin changes the keys', () => {
  let cell: Cell;
  let keyring: Keyring;
  let keys: KeyOperations;
  /** What happens while the registries are asked, which is after the keys were read; once. */
  let meanwhile: () => Promise<unknown>;

  beforeEach(async () => {
    cell = await startedCell();
    keyring = await cell.start();
    meanwhile = async () => undefined;
    keys = new KeyOperations({
      store: cell.store,
      keyring,
      masterKey: { ...cell.masterKey, prepareNext: async () => cell.masterKey, adoptNext: async () => '' },
      probe: async () => {
        const now = meanwhile;
        meanwhile = async () => undefined;
        await now();
        return [];
      },
      now: cell.clock.now,
      cellId: 1,
      leafHours: LEAF_HOURS,
      longestTokenLifeSeconds: LONGEST_TOKEN_SECONDS,
      periods: { propagationSeconds: PROPAGATION_SECONDS, rotateEverySeconds: 0 },
    });
    await keys.retire(pending(), ACTOR).catch(() => undefined);
  });
  afterEach(closeKeyrings);

  const pending = (): string => cell.store.set.keys.find(({ state }) => state === 'pending')?.kid ?? '';
  const stageRipe = async (): Promise<string> => {
    const { staged } = await keys.stage(ACTOR);
    cell.clock.advance(PROPAGATION_SECONDS * 1000);
    return staged ?? '';
  };

  it('ends when they activate the key that it waits for', async () => {
    const kid = await stageRipe();
    meanwhile = () => keys.activate(kid, { ...OTHER, force: true });
    assert.equal((await keys.rotateOrWait(undefined, ACTOR)).activated, kid);
    assert.equal(keyring.active().kid, kid);
    assert.equal(pending(), '');
  });

  it('ends when they rotate to it, and leaves the next key as it is', async () => {
    const kid = await stageRipe();
    let next = '';
    meanwhile = async () => {
      next = (await keys.rotate({ ...OTHER, force: true })).staged ?? '';
    };
    assert.equal((await keys.rotateOrWait(undefined, ACTOR)).activated, kid);
    assert.deepEqual([keyring.active().kid, pending()], [kid, next]);
  });

  it('says that they dropped the key that it waits for', async () => {
    const kid = await stageRipe();
    meanwhile = () => keys.retire(kid, OTHER);
    await assert.rejects(keys.rotateOrWait(kid, ACTOR), { code: 'conflict', message: /is retired/ });
  });

  it('waits for the key that they stage, if it wanted to stage one', async () => {
    const [first, second] = await Promise.all([
      keys.rotateOrWait(undefined, ACTOR),
      keys.rotateOrWait(undefined, OTHER),
    ]);
    assert.equal(first.waits_for?.kid, pending());
    assert.equal(second.waits_for?.kid, pending());
  });
});
