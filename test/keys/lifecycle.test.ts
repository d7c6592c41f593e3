import assert from 'node:assert/strict';
import { isPublished, type KeyState, type StoredKey } from '../../src/keys/key-set.ts';
import {
  type Act,
  activateKey,
  importKey,
  recordTokenLife,
  retireKey,
  revokeKey,
  stageKey,
} from '../../src/keys/lifecycle.ts';

const T0 = new Date('2026-11-24T10:00:00Z');
const NOW = new Date('2026-11-24T11:00:00Z');
const ACT: Act = { now: NOW, latest: NOW, actor: 'an admin', reason: null };
const BY_TIME = { by: 'time', waitMs: () => 0 } as const;
const CONFLICT = { code: 'conflict' };

function key(kid: string, state: KeyState): StoredKey {
  const signs = state === 'pending' || state === 'active';
  return {
    kid,
    thumbprint: kid.toLowerCase(),
    state,
    publicJwk: { kty: 'RSA', n: 'AQ', e: 'AQAB' },
    encryptedPrivateKey: signs ? `jwe of ${kid}` : null,
    certificate: null,
    createdAt: T0,
    activatedAt: state === 'active' ? T0 : null,
    retiredAt: state === 'retired' ? T0 : null,
    revokedAt: state === 'revoked' ? T0 : null,
    revocationReason: null,
    publishedUntil: signs ? null : T0,
    longestTokenSeconds: 600,
  };
}

const set = (...keys: StoredKey[]) => ({ authorities: [], keys });
const states = (keys: readonly StoredKey[]) => Object.fromEntries(keys.map(({ kid, state }) => [kid, state]));
const [A, P, R, X] = [key('A', 'active'), key('P', 'pending'), key('R', 'retired'), key('X', 'revoked')];

describe('staging a key', () => {
  it('adds it as pending, published from this moment on', () => {
    const { set: next, events } = stageKey(set(A), P, ACT);
    assert.deepEqual(next.keys, [A, { ...P, createdAt: NOW }]);
    assert.deepEqual(events, [{ at: NOW, actor: 'an admin', action: 'stage', subject: 'P', reason: null }]);
  });

  it('is refused while another is pending, by its name, and for a key that is here', () => {
    assert.throws(() => stageKey(set(A, P), key('Q', 'pending'), ACT), {
      ...CONFLICT,
      message: /P is pending/,
    });
    assert.throws(() => stageKey(set(A, X), key('X', 'pending'), ACT), {
      ...CONFLICT,
      message: /is already in the key set/,
    });
  });
});

describe('importing a key', () => {
  const certificate = { authorityId: null, pem: 'PEM', notBefore: T0, notAfter: NOW };

  it('adds it as pending', () => {
    const { set: next, events } = importKey(set(A), P, ACT);
    assert.deepEqual(next.keys, [A, { ...P, createdAt: NOW }]);
    assert.deepEqual(events, [{ at: NOW, actor: 'an admin', action: 'import', subject: 'P', reason: null }]);
  });

  it('brings a retired or dropped key back as pending, published from this moment on', () => {
    const again = { ...key('R', 'pending'), longestTokenSeconds: 300, certificate };
    const { set: next } = importKey(set(A, R), again, ACT);
    assert.deepEqual(next.keys, [A, { ...again, createdAt: NOW, longestTokenSeconds: 600 }]);
    assert.throws(() => importKey(set(A, P, R), again, ACT), { ...CONFLICT, message: /P is pending/ });
  });

  it('never brings a revoked key back', () => {
    assert.throws(() => importKey(set(A, X), key('X', 'pending'), ACT), {
      ...CONFLICT,
      message: /X was revoked.*can't come back/,
    });
  });

  for (const known of [A, P]) {
    it(`gives the ${known.state} key another certificate, and changes nothing else`, () => {
      const given = { ...key(known.kid, 'pending'), certificate, encryptedPrivateKey: 'another jwe' };
      const { set: next, events } = importKey(set(known), given, ACT);
      assert.deepEqual(next.keys, [{ ...known, certificate }]);
      assert.equal(events[0]?.reason, 'another certificate');
      for (const same of [given, { ...given, certificate: null }]) {
        assert.throws(() => importKey(next, same, ACT), {
          ...CONFLICT,
          message: /is already in the key set/,
        });
      }
    });
  }
});

describe('activating a key', () => {
  it('retires the one before: its private half is gone at once, its publication lasts for its last token', () => {
    const { set: next, events } = activateKey(set(R, A, P), 'P', BY_TIME, ACT);
    assert.deepEqual(states(next.keys), { R: 'retired', A: 'retired', P: 'active' });
    const [, before, after] = next.keys;
    assert.equal(before!.encryptedPrivateKey, null);
    assert.deepEqual(before!.retiredAt, NOW);
    assert.deepEqual(before!.publishedUntil, new Date('2026-11-24T11:11:00Z'));
    assert.deepEqual(after!.activatedAt, NOW);
    assert.deepEqual(events, [
      {
        at: NOW,
        actor: 'an admin',
        action: 'activate',
        subject: 'P',
        reason: 'published for the propagation time',
      },
    ]);
  });

  it('counts the last token from the latest time that the clock showed, where it was set back', () => {
    const latest = new Date('2026-11-24T12:00:00Z');
    const { set: next } = activateKey(set(A, P), 'P', BY_TIME, { ...ACT, latest });
    assert.deepEqual(next.keys[0]!.publishedUntil, new Date('2026-11-24T12:11:00Z'));
  });

  it('says how long to wait while its time has not come, to the second', () => {
    const early = { by: 'time', waitMs: () => 287_001 } as const;
    assert.throws(() => activateKey(set(A, P), 'P', early, ACT), { ...CONFLICT, message: /in 288 s/ });
    for (const by of ['acceptance', 'force'] as const) {
      const { set: next } = activateKey(set(A, P), 'P', { ...early, by }, ACT);
      assert.equal(next.keys[1]!.state, 'active');
    }
  });

  const refused: [kid: string, code: string, message: RegExp][] = [
    ['A', 'conflict', /active since 2026-11-24T10:00:00.000Z: there is nothing to do/],
    ['R', 'conflict', /retired and its private half is deleted/],
    ['X', 'conflict', /revoked and its private half is deleted/],
    ['?', 'not_found', /no key has the id \?/],
  ];
  for (const [kid, code, message] of refused) {
    it(`is refused for ${kid}: ${message.source}`, () => {
      assert.throws(() => activateKey(set(A, P, R, X), kid, BY_TIME, ACT), { code, message });
    });
  }
});

describe('retiring a key', () => {
  it('drops a pending one, which nobody needs any more', () => {
    const { set: next } = retireKey(set(A, P), 'P', ACT);
    const dropped = next.keys.find(({ kid }) => kid === 'P')!;
    assert.deepEqual([dropped.state, dropped.encryptedPrivateKey], ['retired', null]);
    assert.equal(isPublished(dropped, NOW), false);
  });

  it('is refused for the active one, with what to do instead, and for one that is gone', () => {
    assert.throws(() => retireKey(set(A, P), 'A', ACT), { ...CONFLICT, message: /keys rotate.*keys revoke/ });
    assert.throws(() => retireKey(set(A, R), 'R', ACT), { ...CONFLICT, message: /is already retired/ });
    assert.throws(() => retireKey(set(A, X), 'X', ACT), { ...CONFLICT, message: /is already revoked/ });
  });
});

describe('revoking a key', () => {
  const because = { ...ACT, reason: 'a laptop was stolen' };
  const rows: [title: string, keys: StoredKey[], kid: string, after: Record<string, KeyState>][] = [
    ['the active one: the pending one takes over', [A, P], 'A', { A: 'revoked', P: 'active' }],
    ['the active one without a pending one: the spare takes over', [A], 'A', { A: 'revoked', S: 'active' }],
    ['a pending one: nothing else changes', [A, P], 'P', { A: 'active', P: 'revoked' }],
    ['a retired one: nothing else changes', [A, R], 'R', { A: 'active', R: 'revoked' }],
  ];
  for (const [title, keys, kid, after] of rows) {
    it(title, () => {
      const { set: next, events } = revokeKey(set(...keys), kid, key('S', 'pending'), because);
      assert.deepEqual(states(next.keys), after);
      const revoked = next.keys.find((one) => one.kid === kid)!;
      assert.deepEqual(
        [revoked.encryptedPrivateKey, revoked.revokedAt, revoked.revocationReason, isPublished(revoked, NOW)],
        [null, NOW, 'a laptop was stolen', false],
      );
      assert.deepEqual(
        events.map(({ action, subject }) => [action, subject]),
        kid === 'A'
          ? [
              ['revoke', 'A'],
              ['activate', 'P' in after ? 'P' : 'S'],
            ]
          : [['revoke', kid]],
      );
    });
  }

  it('is refused for one that is revoked, and for the active one while nothing can take over', () => {
    assert.throws(() => revokeKey(set(A, X), 'X', undefined, because), {
      ...CONFLICT,
      message: /is already revoked/,
    });
    assert.throws(() => revokeKey(set(A), 'A', undefined, because), CONFLICT);
  });
});

describe('the longest token that a key signs', () => {
  it('is raised to that of every process, and never lowered', () => {
    const raised = recordTokenLife(set(A, P, R), 7200);
    assert.deepEqual(
      raised.keys.map(({ longestTokenSeconds }) => longestTokenSeconds),
      [7200, 7200, 600],
    );
    const same = set(A, P);
    assert.equal(recordTokenLife(same, 60), same);
  });
});
