import assert from 'node:assert/strict';
import { createRefusalLog } from '../../../src/http/token/refusals.ts';
import type { Subject } from '../../../src/policy/subject.ts';
import { ANONYMOUS } from '../../../src/policy/subject.ts';
import type { StoredRefusal } from '../../../src/store/records/refusals.ts';

const KNOWN: Subject = {
  kind: 'deploy_token',
  deployTokenId: 1,
  username: 'puller',
  tokenScopes: [],
  abilities: new Set(),
  expiresAt: null,
};

function refusal(requestId: string): StoredRefusal {
  return { requestId, record: { at: '2026-11-24T12:00:00Z', client: '', error: null, question: null } };
}

describe('keeping refusals', () => {
  const start = (save: (batch: readonly StoredRefusal[]) => Promise<void>) => {
    const lines: [level: string, fields: object][] = [];
    const write = (level: string) => (fields: object) => void lines.push([level, fields]);
    const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
    return { lines, refusals: createRefusalLog({ save, log }) };
  };

  it('writes them together, and what is waiting at the end', async () => {
    const batches: string[][] = [];
    const { refusals } = start(async (batch) => void batches.push(batch.map(({ requestId }) => requestId)));
    refusals.add(refusal('a'), KNOWN);
    refusals.add(refusal('b'), ANONYMOUS);
    await refusals.flush();
    await refusals.flush();
    refusals.add(refusal('c'), undefined);
    await refusals.close();
    assert.deepEqual(batches, [['a', 'b'], ['c']]);
  });

  it('is not pushed out by whoever has no valid credentials', async () => {
    let kept = 0;
    const { refusals, lines } = start(async (batch) => {
      kept += batch.length;
    });
    for (let n = 0; n < 500; n++)
      refusals.add(refusal(`anonymous ${n}`), n % 2 === 0 ? ANONYMOUS : undefined);
    refusals.add(refusal('known'), KNOWN);
    await refusals.close();
    assert.equal(kept, 101);
    assert.deepEqual(lines, [['warn', { dropped: 400 }]]);
  });

  it('fails nothing when it can not write', async () => {
    const { refusals, lines } = start(async () => {
      throw new Error('away');
    });
    refusals.add(refusal('a'), KNOWN);
    await refusals.close();
    assert.equal(lines.length, 1);
  });
});
