import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import {
  type ClockCheck,
  type ClockEvidence,
  type ClockVerdict,
  createClockCheck,
  judgeClocks,
} from '../../src/keys/clock-check.ts';
import { createClockStore } from '../../src/store/clocks.ts';
import type { Database } from '../../src/store/database/drivers.ts';
import { openPostgres } from '../../src/store/database/postgres.ts';
import { sharedPostgres } from '../support/database/postgres.ts';

const HOUR_S = 3600;
const other = (machine: string, aheadS: number) => ({ machine, aheadMs: aheadS * 1000 });

describe('the clock of a machine and that of the database', () => {
  interface Case {
    readonly what: string;
    readonly aheadS: number;
    readonly verdict: ClockVerdict;
    readonly others?: ClockEvidence['others'];
    readonly databaseWasSet?: boolean;
    readonly errorMs?: number;
  }
  const cases: readonly Case[] = [
    { what: '30 s apart', aheadS: 30, verdict: 'right' },
    { what: '30 s behind', aheadS: -30, verdict: 'right' },
    { what: '30.1 s apart, alone', aheadS: 30.1, verdict: 'own_wrong' },
    { what: '30.1 s apart, within the error of a slow answer', aheadS: 30.1, errorMs: 200, verdict: 'right' },
    { what: 'an hour behind, alone', aheadS: -HOUR_S, verdict: 'own_wrong' },
    {
      what: 'an hour apart, alone, after the database’s was seen being set',
      aheadS: HOUR_S,
      databaseWasSet: true,
      verdict: 'database_wrong',
    },
    {
      what: 'an hour apart, while another machine agrees with the database',
      aheadS: HOUR_S,
      others: [other('b', 0.1)],
      verdict: 'own_wrong',
    },
    {
      what: 'the same, and the database’s was seen being set',
      aheadS: HOUR_S,
      others: [other('b', 0.1)],
      databaseWasSet: true,
      verdict: 'own_wrong',
    },
    {
      what: 'an hour apart, as on every other machine',
      aheadS: HOUR_S,
      others: [other('b', HOUR_S + 5), other('c', HOUR_S - 5)],
      verdict: 'database_wrong',
    },
    {
      what: 'an hour apart, as on most other machines, but one agrees with the database',
      aheadS: HOUR_S,
      others: [other('b', HOUR_S), other('c', HOUR_S), other('d', 0)],
      verdict: 'own_wrong',
    },
    {
      what: 'an hour apart, and another machine differs otherwise',
      aheadS: HOUR_S,
      others: [other('b', -HOUR_S)],
      verdict: 'own_wrong',
    },
    {
      what: 'an hour apart, as in other processes of the same machine',
      aheadS: HOUR_S,
      others: [other('a', HOUR_S), other('a', HOUR_S)],
      verdict: 'own_wrong',
    },
  ];
  for (const { what, aheadS, others = [], databaseWasSet = false, errorMs = 0, verdict } of cases) {
    it(`${what}: ${verdict}`, () => {
      const evidence = { aheadMs: aheadS * 1000, errorMs, machine: 'a', others, databaseWasSet };
      assert.equal(judgeClocks(evidence), verdict);
    });
  }
});

describe('comparing clocks', () => {
  let nowMs: number;
  let wallMs: number;
  let databaseMs: number;
  let lines: [level: string, message: string][];
  let saved: (number | null)[];
  let check: ClockCheck;
  beforeEach(() => {
    nowMs = 0;
    wallMs = 1_000_000_000;
    databaseMs = 1_000_000_000;
    lines = [];
    saved = [];
    check = createClockCheck({
      store: {
        compare: async (_own, aheadMs) => {
          saved.push(aheadMs);
          return { databaseMs, others: [] };
        },
      },
      own: { replica: randomUUID(), machine: 'a' },
      log: {
        info: (_fields, message) => void lines.push(['info', message]),
        error: (_fields, message) => void lines.push(['error', message]),
      },
      wallMs: () => wallMs,
      monotonicMs: () => nowMs,
    });
  });
  const pass = async (seconds: number): Promise<ClockVerdict> => {
    nowMs += seconds * 1000;
    wallMs += seconds * 1000;
    databaseMs += seconds * 1000;
    await check.compare();
    return check.stats().verdict;
  };

  it('a server that starts an hour off issues nothing, and says so in the log once', async () => {
    wallMs += HOUR_S * 1000;
    assert.equal(await pass(2), 'own_wrong');
    assert.throws(() => check.assertRight(), { code: 'unavailable', reason: 'clock_wrong' });
    await pass(2);
    assert.equal(lines.length, 1);
    assert.match(lines[0]![1], /^the clock of this server differs .* issues no tokens/);
    await pass(600);
    assert.equal(lines.length, 2, 'and again after ten minutes');
    wallMs -= HOUR_S * 1000;
    assert.equal(await pass(2), 'right');
    check.assertRight();
    assert.deepEqual(lines[2]?.[0], 'info');
  });

  const moves: [what: string, move: () => void, verdict: ClockVerdict][] = [
    ['its own is set forward', () => (wallMs += HOUR_S * 1000), 'own_wrong'],
    ['its own is set back', () => (wallMs -= HOUR_S * 1000), 'own_wrong'],
    [
      'the database’s is set forward, as after a failover',
      () => (databaseMs += HOUR_S * 1000),
      'database_wrong',
    ],
    ['the database’s is set back', () => (databaseMs -= HOUR_S * 1000), 'database_wrong'],
    [
      'the machine was suspended for an hour',
      () => {
        wallMs += HOUR_S * 1000;
        databaseMs += HOUR_S * 1000;
      },
      'right',
    ],
  ];
  for (const [what, move, verdict] of moves) {
    it(`a server that is alone judges by what it has seen: ${what}: ${verdict}`, async () => {
      assert.equal(await pass(2), 'right');
      move();
      assert.equal(await pass(2), verdict);
      assert.equal(await pass(2), verdict, 'it stays so');
    });
  }

  it('a clock that drifts apart slowly is the server’s', async () => {
    assert.equal(await pass(2), 'right');
    for (let n = 0; n < 61; n++) {
      wallMs += 500;
      await pass(2);
    }
    assert.equal(check.stats().verdict, 'own_wrong');
  });

  it('its own offset is saved every ten seconds, and at once when it changes', async () => {
    for (let n = 0; n < 8; n++) await pass(2);
    assert.deepEqual(saved, [null, 0, null, null, null, null, 0, null]);
    wallMs += 5000;
    await pass(2);
    await pass(2);
    assert.deepEqual(saved.slice(-2), [null, 5000]);
  });
});

describe('the clocks of several machines on one PostgreSQL', () => {
  let database: Database;
  beforeEach(async () => {
    database = openPostgres(await (await sharedPostgres()).createMigratedDatabase());
  });
  afterEach(() => database.close());

  const machineWith = (machine: string, aheadS: number): ClockCheck =>
    createClockCheck({
      store: createClockStore(database),
      own: { replica: randomUUID(), machine },
      log: { info: () => undefined, error: () => undefined },
      wallMs: () => Date.now() + aheadS * 1000,
      monotonicMs: () => performance.now(),
    });
  /** Each reads, saves what it read, and reads what the others saved. */
  const verdicts = async (machines: readonly ClockCheck[]): Promise<readonly ClockVerdict[]> => {
    for (let round = 0; round < 3; round++) for (const machine of machines) await machine.compare();
    return machines.map((machine) => machine.stats().verdict);
  };

  const rows: [aheadS: readonly number[], verdicts: readonly ClockVerdict[]][] = [
    [
      [0, HOUR_S],
      ['right', 'own_wrong'],
    ],
    [
      [0, 0, -HOUR_S],
      ['right', 'right', 'own_wrong'],
    ],
    [
      [HOUR_S, HOUR_S, HOUR_S],
      ['database_wrong', 'database_wrong', 'database_wrong'],
    ],
    [
      [-40, -45],
      ['database_wrong', 'database_wrong'],
    ],
    [
      [HOUR_S, -HOUR_S],
      ['own_wrong', 'own_wrong'],
    ],
    [[HOUR_S], ['own_wrong']],
  ];
  for (const [aheadS, expected] of rows) {
    it(`${aheadS.join(', ')} s ahead of it: ${expected.join(', ')}`, async () => {
      assert.deepEqual(await verdicts(aheadS.map((seconds, n) => machineWith(`m${n}`, seconds))), expected);
    });
  }

  it('one that has ended is no witness', async () => {
    const machines = [machineWith('a', 0), machineWith('b', HOUR_S), machineWith('c', HOUR_S)];
    await verdicts(machines);
    await database.query(
      "UPDATE replica_clocks SET seen_at = seen_at - interval '31 seconds' WHERE machine = 'a'",
    );
    assert.deepEqual(await verdicts(machines.slice(1)), ['database_wrong', 'database_wrong']);
  });
});
