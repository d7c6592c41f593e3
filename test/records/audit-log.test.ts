import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { CellpassError } from '../../src/errors.ts';
import { type AuditLog, createAuditLog } from '../../src/records/audit-log.ts';
import type { IssuedToken } from '../../src/store/records/issued-tokens.ts';

const SECOND_MS = 1000;
const NOTHING_LOST = { buffer_full: 0, share_used_up: 0, no_room: 0, not_written: 0 };
const MB = 1_000_000;

function issued(subject: string, more: Partial<IssuedToken> = {}): IssuedToken {
  return {
    jti: randomUUID(),
    kid: 'KID',
    subject,
    authType: subject === '' ? 'none' : 'gitlab_or_ldap',
    service: 'container_registry',
    access: [],
    address: '192.0.2.1',
    issuedAt: new Date('2026-11-24T12:00:00Z'),
    expiresAt: new Date('2026-11-24T12:05:00Z'),
    requestId: randomUUID(),
    cell: 1,
    ...more,
  };
}

describe('recording issued tokens', () => {
  let kept: string[][];
  let records: IssuedToken[];
  let lines: object[];
  let bytes: { known: number; anonymous: number };
  let failure: Error | null;
  let nowMs: number;
  let audit: AuditLog;
  beforeEach(() => {
    kept = [];
    records = [];
    lines = [];
    bytes = { known: 0, anonymous: 0 };
    failure = null;
    nowMs = 0;
    audit = createAuditLog({
      save: async (batch) => {
        if (failure !== null) throw failure;
        kept.push(batch.map(({ subject }) => subject));
        records.push(...batch);
      },
      measure: async () => ({ known: { bytes: bytes.known }, anonymous: { bytes: bytes.anonymous } }),
      maxBytes: { known: 1000 * MB, anonymous: 100 * MB },
      log: { warn: (fields) => void lines.push(fields) },
      monotonicMs: () => nowMs,
    });
  });
  afterEach(() => audit.close());

  /** Each from another address, so that none repeats another. */
  const addMany = (count: number, subject: string, more: Partial<IssuedToken> = {}): void => {
    for (let n = 0; n < count; n++) audit.add(issued(subject, { address: `${n}`, ...more }));
  };
  /** Lets the writer see how much room there is. */
  const lookAtRoom = async (): Promise<void> => {
    audit.add(issued('first'));
    nowMs += 31 * SECOND_MS;
    await audit.flush();
    kept = [];
  };

  it('is done in batches, and at the end', async () => {
    addMany(501, 'alice');
    await audit.flush();
    audit.add(issued('bob'));
    await audit.close();
    assert.deepEqual(
      kept.map((batch) => batch.length),
      [500, 1, 1],
    );
    assert.deepEqual([audit.stats().written, audit.stats().waiting, lines], [502, 0, []]);
  });

  it('is done once, however many ask for it at a time', async () => {
    addMany(3, 'alice');
    await Promise.all([audit.flush(), audit.flush(), audit.flush()]);
    assert.deepEqual(kept, [['alice', 'alice', 'alice']]);
  });

  it('waits for a database that is away, up to a bound, and says how many are lost', async () => {
    failure = new CellpassError('unavailable', 'away');
    addMany(10_001, 'alice');
    addMany(2501, '');
    await audit.flush();
    await audit.flush();
    assert.equal(lines.length, 2, 'one line for what is lost, and one for the outage');
    assert.deepEqual(
      [audit.stats().waiting, audit.stats().lost],
      [12_500, { ...NOTHING_LOST, buffer_full: 2 }],
    );
    failure = null;
    await audit.flush();
    assert.equal(audit.stats().written, 12_500);
    assert.deepEqual(lines[0], { lost: 2, in_all: { ...NOTHING_LOST, buffer_full: 2 } });
  });

  it('holds no more than so much text, however long the names are', () => {
    const access = Array.from({ length: 64 }, () => ({
      type: 'repository',
      name: 'n'.repeat(250),
      actions: ['pull'],
    }));
    for (const subject of ['alice', 'bob', 'carol', 'dave']) addMany(2500, subject, { access });
    assert.ok(audit.stats().waiting < 1000, `${audit.stats().waiting}`);
    addMany(1, '', { access });
    assert.equal(audit.stats().lost.buffer_full, 10_000 - audit.stats().waiting + 1);
  });

  it('goes on after what the database refuses', async () => {
    failure = new Error('a value that it does not take');
    audit.add(issued('alice'));
    await audit.flush();
    failure = null;
    audit.add(issued('bob'));
    await audit.flush();
    assert.deepEqual([kept, audit.stats().lost], [[['bob']], { ...NOTHING_LOST, not_written: 1 }]);
  });

  it('counts as lost what can not be written at the end, and ends', async () => {
    failure = new CellpassError('unavailable', 'away');
    addMany(3, 'alice');
    await audit.close();
    assert.deepEqual([audit.stats().lost, lines.length], [{ ...NOTHING_LOST, not_written: 3 }, 2]);
  });

  it('of nobody ends when their room is full, and of others goes on', async () => {
    bytes = { known: 0, anonymous: 100 * MB };
    await lookAtRoom();
    addMany(5, '');
    audit.add(issued('alice'));
    await audit.flush();
    assert.deepEqual([kept, audit.stats().lost], [[['alice']], { ...NOTHING_LOST, no_room: 5 }]);
  });

  const PULL = { access: [{ type: 'repository', name: 'acme/app', actions: ['pull'] }] };
  const PUSH = { access: [{ type: 'repository', name: 'acme/app', actions: ['pull', 'push'] }] };

  it('counts repeated pulls of a minute in one record after the first', async () => {
    const tokens = Array.from({ length: 5 }, () => issued('alice', PULL));
    for (const token of tokens) audit.add(token);
    await audit.close();
    assert.deepEqual(
      records.map(({ jti, repeats }) => [jti, repeats?.count, repeats?.lastJti]),
      [
        [tokens[0]?.jti, undefined, undefined],
        [tokens[1]?.jti, 3, tokens[4]?.jti],
      ],
    );
    assert.equal(audit.stats().written, 5, 'tokens, not records');
  });

  it('records each grant to push or delete, however often it is repeated', async () => {
    for (const actions of [['push'], ['delete'], ['*'], ['pull', 'delete']]) {
      for (let n = 0; n < 3; n++) {
        audit.add(issued('alice', { access: [{ type: 'repository', name: 'acme/app', actions }] }));
      }
    }
    await audit.flush();
    assert.equal(records.length, 12);
  });

  it('gives one subject no more than a tenth of the room in a day for pulls, and records its pushes', async () => {
    const name = 'n'.repeat(200);
    const most = 100 * MB;
    const each = 400 + 64 * 300;
    const addPulls = async (subject: string, count: number): Promise<void> => {
      for (let n = 0; n < count; n++) {
        const access = Array.from({ length: 64 }, () => ({ type: 'repository', name, actions: ['pull'] }));
        audit.add(issued(subject, { access, address: `${n}` }));
        if (n % 500 === 0) await audit.flush();
      }
      await audit.flush();
    };
    await addPulls('mallory', Math.floor(most / each) + 100);
    assert.equal(audit.stats().lost.share_used_up, 100);
    audit.add(issued('mallory', PUSH));
    audit.add(issued('alice', PULL));
    await audit.flush();
    assert.deepEqual(kept.slice(-2), [['mallory'], ['alice']]);
    nowMs += 24 * 3600 * SECOND_MS;
    await addPulls('mallory', 10);
    assert.equal(audit.stats().lost.share_used_up, 100, 'the next day');
  });

  it('keeps room in a crowded queue for pushes of others', async () => {
    failure = new CellpassError('unavailable', 'away');
    addMany(9000, 'mallory', PUSH);
    addMany(1, 'alice', PUSH);
    assert.deepEqual(
      [audit.stats().waiting, audit.stats().lost.share_used_up],
      [6001, 3000],
      'mallory has 5000 and 1000 more',
    );
    failure = null;
    await audit.flush();
    assert.deepEqual(kept.at(-1)?.at(-1), 'alice');
  });
});
