import assert from 'node:assert/strict';
import { createKeyWaits } from '../../../src/authn/federation/key-waits.ts';

const NEVER = new Promise<void>(() => undefined);

describe('requests that wait for the keys of an issuer', () => {
  it('wait until the work is done', async () => {
    assert.equal(await createKeyWaits().wait(Promise.resolve()), true);
  });

  it('wait no longer than the limit', async () => {
    assert.equal(await createKeyWaits({ longestMs: 1 }).wait(NEVER), false);
  });

  it('are few, and one that ends makes place for another', async () => {
    const waits = createKeyWaits({ most: 2, longestMs: 20 });
    const first = [waits.wait(NEVER), waits.wait(NEVER)];
    assert.equal(await waits.wait(Promise.resolve()), false);
    assert.deepEqual(await Promise.all(first), [false, false]);
    assert.equal(await waits.wait(Promise.resolve()), true);
  });

  it('make place also when the work fails', async () => {
    const waits = createKeyWaits({ most: 1 });
    await assert.rejects(waits.wait(Promise.reject(new Error('away'))), /away/);
    assert.equal(await waits.wait(Promise.resolve()), true);
  });
});
