import assert from 'node:assert/strict';
import type { StoredKey } from '../../src/keys/key-set.ts';
import {
  type KeyPeriods,
  nextStep,
  type PlannedStep,
  plannedStep,
  rotationDue,
} from '../../src/rotation/plan.ts';

const DAY_MS = 24 * 60 * 60 * 1000;
const T0 = new Date('2026-11-01T00:00:00Z');
const PERIODS: KeyPeriods = { propagationSeconds: 300, rotateEverySeconds: 30 * 86_400 };
const BY_HAND: KeyPeriods = { ...PERIODS, rotateEverySeconds: 0 };

const at = (ms: number): Date => new Date(T0.getTime() + ms);
const key = (given: Partial<StoredKey>): StoredKey => ({
  kid: 'A',
  thumbprint: 'a',
  state: 'active',
  publicJwk: { kty: 'RSA', n: 'AQ', e: 'AQAB' },
  encryptedPrivateKey: 'jwe',
  certificate: { authorityId: 'ca', pem: 'pem', notBefore: T0, notAfter: at(2 * DAY_MS) },
  createdAt: T0,
  activatedAt: T0,
  retiredAt: null,
  revokedAt: null,
  revocationReason: null,
  publishedUntil: null,
  longestTokenSeconds: 600,
  ...given,
});
const set = (...keys: StoredKey[]) => ({ authorities: [], keys });
const moment = (now: Date, skippedMs = 0) => ({ now, skippedMsSince: () => skippedMs });
const ACTIVE = key({});
const DUE = rotationDue(ACTIVE, PERIODS)!;
const fromDue = (ms: number): Date => new Date(DUE.getTime() + ms);
const pendingSince = (createdAt: Date): StoredKey =>
  key({ kid: 'P', thumbprint: 'p', state: 'pending', createdAt, activatedAt: null });

describe('rotation by itself', () => {
  it('is due up to 5 % before the period ends, the same on every replica, and not at once for every cell', () => {
    const dues = Array.from({ length: 50 }, (_, i) => rotationDue(key({ kid: `K${i}` }), PERIODS)!.getTime());
    for (const due of dues)
      assert.ok(due > T0.getTime() + 28.5 * DAY_MS && due <= T0.getTime() + 30 * DAY_MS);
    assert.ok(new Set(dues).size > 45);
    assert.deepEqual(rotationDue(ACTIVE, PERIODS), DUE);
  });

  const rows: [
    title: string,
    now: Date,
    pending: StoredKey | null,
    periods: KeyPeriods,
    step: PlannedStep | null,
  ][] = [
    ['nothing long before', at(DAY_MS), null, PERIODS, null],
    ['nothing a moment before its time', fromDue(-300_001), null, PERIODS, null],
    ['a key is staged in time to be published for long enough', fromDue(-300_000), null, PERIODS, 'stage'],
    ['it waits until the rotation is due', fromDue(-1), pendingSince(fromDue(-300_000)), PERIODS, null],
    ['it signs when that is due', DUE, pendingSince(fromDue(-300_000)), PERIODS, 'rotate'],
    ['it never signs before its own time', DUE, pendingSince(fromDue(-299_999)), PERIODS, null],
    ['one staged long ago by hand waits for its turn', fromDue(-DAY_MS), pendingSince(T0), PERIODS, null],
    ['and then signs at once', DUE, pendingSince(T0), PERIODS, 'rotate'],
    ['what was slept through begins with a key', fromDue(50 * DAY_MS), null, PERIODS, 'stage'],
    [
      'which signs after its time, not before',
      fromDue(50 * DAY_MS),
      pendingSince(fromDue(50 * DAY_MS)),
      PERIODS,
      null,
    ],
    ['by hand alone: nothing, however late', at(4000 * DAY_MS), null, BY_HAND, null],
    ['by hand alone: nothing with a pending key either', at(4000 * DAY_MS), pendingSince(T0), BY_HAND, null],
  ];
  for (const [title, now, pending, periods, step] of rows) {
    it(title, () => {
      const keys = pending === null ? set(ACTIVE) : set(ACTIVE, pending);
      assert.equal(plannedStep(keys, periods, moment(now)), step);
    });
  }

  it('does not count time that a clock skipped', () => {
    const keys = set(ACTIVE, pendingSince(fromDue(-300_000)));
    assert.equal(plannedStep(keys, PERIODS, moment(DUE, 1)), null);
    assert.equal(plannedStep(keys, PERIODS, moment(fromDue(1), 1)), 'rotate');
  });
});

describe('what happens next', () => {
  const PENDING = pendingSince(T0);
  const rows: [
    title: string,
    one: StoredKey,
    periods: KeyPeriods,
    now: Date,
    what: RegExp,
    when: Date | null,
  ][] = [
    ['pending, by schedule', PENDING, PERIODS, at(0), /becomes active automatically/, DUE],
    ['pending, by hand', PENDING, BY_HAND, at(0), /keys rotate/, at(300_000)],
    ['pending for long enough, by hand', PENDING, BY_HAND, at(DAY_MS), /keys rotate/, at(DAY_MS)],
    ['active, by schedule', ACTIVE, PERIODS, at(0), /rotates automatically/, DUE],
    ['active, by hand', ACTIVE, BY_HAND, at(0), /until "cellpass keys rotate"/, null],
    [
      'retired',
      key({ state: 'retired', publishedUntil: at(660_000) }),
      PERIODS,
      at(0),
      /leaves the JWK Set/,
      at(660_000),
    ],
    [
      'retired and unpublished',
      key({ state: 'retired', publishedUntil: at(0) }),
      PERIODS,
      at(1),
      /^no longer published$/,
      null,
    ],
    [
      'revoked',
      key({ state: 'revoked', revokedAt: T0 }),
      PERIODS,
      at(0),
      /registries that trust its certificate/,
      at(2 * DAY_MS),
    ],
    ['revoked long ago', key({ state: 'revoked', revokedAt: T0 }), PERIODS, at(3 * DAY_MS), /expired/, null],
    [
      'revoked, without a certificate',
      key({ state: 'revoked', revokedAt: T0, certificate: null }),
      PERIODS,
      at(0),
      /registries that fetch it/,
      null,
    ],
  ];
  for (const [title, one, periods, now, what, when] of rows) {
    it(title, () => {
      const keys = one.state === 'active' ? set(one) : set(ACTIVE, one);
      const next = nextStep(one, keys, periods, moment(now));
      assert.match(next.what, what);
      assert.deepEqual(next.at, when);
    });
  }
});
