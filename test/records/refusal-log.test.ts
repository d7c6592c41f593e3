import assert from 'node:assert/strict';
import { Secret } from '../../src/authn/secret.ts';
import type { Subject } from '../../src/policy/subject.ts';
import { ANONYMOUS } from '../../src/policy/subject.ts';
import { createRefusalLog } from '../../src/records/refusal-log.ts';
import type { StoredRefusal } from '../../src/store/records/refusals.ts';

const KNOWN: Subject = {
  kind: 'deploy_token',
  deployTokenId: 1,
  username: 'puller',
  tokenScopes: [],
  abilities: new Set(),
  expiresAt: null,
};

const NETWORK = '192.0.2.1';

const by = (subject: Subject | null, network: string) => ({ subject, network, loginName: null });

function refusal(requestId: string): StoredRefusal {
  return { requestId, record: { at: '2026-11-24T12:00:00Z', client: '', error: null, question: null } };
}

describe('keeping refusals', () => {
  const start = (save: (batch: readonly StoredRefusal[]) => Promise<void>) => {
    const lines: [level: string, fields: object][] = [];
    const write = (level: string) => (fields: object) => void lines.push([level, fields]);
    const log = { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
    return { lines, refusals: createRefusalLog({ save, findAccount: async () => null, log }) };
  };

  it('writes them together, and what is waiting at the end', async () => {
    const batches: string[][] = [];
    const { refusals } = start(async (batch) => void batches.push(batch.map(({ requestId }) => requestId)));
    refusals.add(refusal('a'), by(KNOWN, NETWORK));
    refusals.add(refusal('b'), by(KNOWN, NETWORK));
    await refusals.flush();
    await refusals.flush();
    refusals.add(refusal('c'), by(null, NETWORK));
    await refusals.close();
    assert.deepEqual(batches, [['a', 'b'], ['c']]);
  });

  it('names the accounts of failed logins, and asks once for each name', async () => {
    const saved: StoredRefusal[] = [];
    const asked: string[] = [];
    const refusals = createRefusalLog({
      save: async (batch) => void saved.push(...batch),
      findAccount: async (loginName) => {
        asked.push(loginName.reveal());
        if (loginName.reveal() === 'broken') throw new Error('the directory is away');
        return loginName.reveal() === 'alice@example.com' ? 'alice' : null;
      },
      log: { warn: () => undefined },
    });
    const { record } = refusal('');
    const early = { account: null, credential: null, asked: [] };
    for (const [n, name] of ['alice@example.com', 'nobody', 'broken', 'alice@example.com'].entries()) {
      const loginName = new Secret(name);
      refusals.add(
        { requestId: String(n), record: { ...record, early } },
        { subject: null, network: NETWORK, loginName },
      );
    }
    await refusals.close();
    assert.deepEqual(asked, ['alice@example.com', 'nobody', 'broken']);
    assert.deepEqual(
      saved.map((one) => one.record.early?.account),
      ['alice', null, null, 'alice'],
    );
    assert.ok(!JSON.stringify(saved).includes('nobody'));
  });

  it('is not pushed out by whoever has no valid credentials', async () => {
    let kept = 0;
    const { refusals, lines } = start(async (batch) => {
      kept += batch.length;
    });
    for (let n = 0; n < 500; n++) {
      refusals.add(refusal(`anonymous ${n}`), by(n % 2 === 0 ? ANONYMOUS : null, `network ${n}`));
    }
    refusals.add(refusal('known'), by(KNOWN, NETWORK));
    await refusals.close();
    assert.equal(kept, 101);
    assert.deepEqual(lines, [
      ['warn', { lost: 400, in_all: { buffer_full: 400, share_used_up: 0, no_room: 0, not_written: 0 } }],
    ]);
  });

  /** How many of 1000 refusals, written at once each, are recorded. */
  const countRecorded = async (
    subjectOf: (n: number) => Subject | null,
    networkOf: (n: number) => string,
  ) => {
    let nowMs = 0;
    const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
    let recorded = 0;
    const save = async (batch: readonly StoredRefusal[]) => {
      recorded += batch.length;
    };
    const refusals = createRefusalLog({ save, findAccount: async () => null, log, monotonicMs: () => nowMs });
    const addMany = async (): Promise<void> => {
      for (let n = 0; n < 3000; n++) {
        refusals.add(refusal(`${n}`), by(subjectOf(n), networkOf(n)));
        if (n % 50 === 0) await refusals.flush();
      }
      await refusals.flush();
    };
    await addMany();
    const inOneMinute = recorded;
    nowMs += 60_000;
    await addMany();
    await refusals.close();
    assert.equal(recorded, 2 * inOneMinute, 'the next minute has shares of its own');
    return inOneMinute;
  };

  const shares: [
    whose: string,
    subject: (n: number) => Subject | null,
    network: (n: number) => string,
    kept: number,
  ][] = [
    ['of one address without credentials: 64 KB a minute', () => null, () => NETWORK, 128],
    ['of all addresses without credentials: 1 MB a minute', () => ANONYMOUS, (n) => `network ${n}`, 2000],
    ['of one subject, from any address: 256 KB a minute', () => KNOWN, (n) => `network ${n}`, 512],
    ['of many subjects', (n) => ({ ...KNOWN, username: `puller-${n}` }), () => NETWORK, 3000],
  ];
  for (const [whose, subject, network, kept] of shares) {
    it(`has a budget of bytes ${whose}`, async () => {
      assert.equal(await countRecorded(subject, network), kept);
    });
  }

  it('fails nothing when it can not write', async () => {
    const { refusals, lines } = start(async () => {
      throw new Error('away');
    });
    refusals.add(refusal('a'), by(KNOWN, NETWORK));
    await refusals.close();
    assert.equal(lines.length, 1);
  });
});
