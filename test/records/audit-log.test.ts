import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { CellpassError } from '../../src/errors.ts';
import { type AuditLog, createAuditLog } from '../../src/records/audit-log.ts';
import type { IssuedToken } from '../../src/store/records/issued-tokens.ts';

const SECOND_MS = 1000;
const NOTHING_LOST = { buffer_full: 0, no_room: 0, not_written: 0 };

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
  let lines: object[];
  let bytesToday: { known: number; anonymous: number };
  let failure: Error | null;
  let nowMs: number;
  let audit: AuditLog;
  beforeEach(() => {
    kept = [];
    lines = [];
    bytesToday = { known: 0, anonymous: 0 };
    failure = null;
    nowMs = 0;
    audit = createAuditLog({
      save: async (batch) => {
        if (failure !== null) throw failure;
        kept.push(batch.map(({ subject }) => subject));
      },
      trim: async () => ({
        known: { bytes: bytesToday.known, bytesToday: bytesToday.known },
        anonymous: { bytes: bytesToday.anonymous, bytesToday: bytesToday.anonymous },
      }),
      maxBytes: { known: 1000, anonymous: 100 },
      log: { warn: (fields) => void lines.push(fields) },
      monotonicMs: () => nowMs,
    });
  });
  afterEach(() => audit.close());

  const addMany = (count: number, subject: string, more: Partial<IssuedToken> = {}): void => {
    for (let n = 0; n < count; n++) audit.add(issued(subject, more));
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
    addMany(10_000, 'alice', { access });
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
    bytesToday = { known: 0, anonymous: 100 };
    await lookAtRoom();
    addMany(5, '');
    audit.add(issued('alice'));
    await audit.flush();
    assert.deepEqual([kept, audit.stats().lost], [[['alice']], { ...NOTHING_LOST, no_room: 5 }]);
  });
});
