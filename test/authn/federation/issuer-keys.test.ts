import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint, exportJWK, type JWK } from 'jose';
import { createIssuerKeys, type IssuerKeys } from '../../../src/authn/federation/issuer-keys.ts';
import type { KeyWaits } from '../../../src/authn/federation/key-waits.ts';
import type { IssuerSettings } from '../../../src/config/federation.ts';
import { createMemoryIssuer } from '../../support/federation/issuer.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

const jwkOf = async (kid: string, bits = 2048): Promise<JWK> => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: bits });
  return { ...(await exportJWK(publicKey)), kid };
};

describe('the keys of an issuer', () => {
  let settings: IssuerSettings;
  let a: JWK;
  let b: JWK;
  before(async () => {
    ({ settings } = await createMemoryIssuer());
    [a, b] = [await jwkOf('a'), await jwkOf('b')];
  });

  /** What the issuer answers; a function makes it wait. */
  let published: unknown;
  let fetches = 0;
  let nowMs = 0;
  let warned: unknown[] = [];
  let keys: IssuerKeys;
  let own = new Set<string>();
  const open = (entries: readonly IssuerSettings[] = [], waits?: KeyWaits): IssuerKeys => {
    keys = createIssuerKeys({
      issuers: entries.length === 0 ? [settings] : entries,
      fetchKeys: async () => {
        fetches += 1;
        const answer = typeof published === 'function' ? await published() : published;
        if (answer === null) throw new Error('nobody answers');
        return answer;
      },
      ownThumbprints: () => own,
      log: { warn: (fields: unknown) => void warned.push(fields) },
      monotonicMs: () => nowMs,
      ...(waits && { waits }),
    });
    return keys;
  };
  const find = async (
    kid: string | undefined,
    alg: 'RS256' | 'ES256' = 'RS256',
  ): Promise<number | 'none'> => {
    const found = await keys.find('ci', { alg, kid });
    return found === 'none' ? found : found.length;
  };
  beforeEach(() => {
    [published, fetches, nowMs, warned, own] = [{ keys: [a] }, 0, 0, [], new Set()];
  });
  afterEach(() => keys.close());

  it('are fetched at the start, and once for requests that come meanwhile', async () => {
    let answer = (_: unknown): void => undefined;
    published = () => new Promise((resolve) => (answer = resolve));
    open();
    const finding = Promise.all([find('a'), find('a'), find('other')]);
    answer({ keys: [a] });
    assert.deepEqual(await finding, [1, 1, 0]);
    assert.equal(fetches, 1);
  });

  it('are waited for as the waits of the process allow, whichever issuer is slow', async () => {
    published = () => new Promise(() => undefined);
    const asked: Promise<void>[] = [];
    open([settings, { ...settings, name: 'second', issuer: 'https://second.example.com' }], {
      wait: async (work) => {
        asked.push(work);
        return false;
      },
    });
    const finding = ['ci', 'second'].map((name) => keys.find(name, { alg: 'RS256', kid: 'x' }));
    assert.deepEqual([await Promise.all(finding), asked.length], [['none', 'none'], 2]);
  });

  it('are fetched again for a key id that nobody knows, after 30 s and not sooner', async () => {
    open();
    assert.equal(await find('a'), 1);
    published = { keys: [a, b] };
    nowMs = 30 * SECOND - 1;
    assert.deepEqual([await find('b'), fetches], [0, 1]);
    nowMs = 30 * SECOND;
    assert.deepEqual([await find('b'), fetches], [1, 2]);
  });

  it('are fetched once in 30 s however many key ids are invented', async () => {
    open();
    await find('a');
    for (let at = 0; at < 10; at++) {
      nowMs += 30 * SECOND;
      await Promise.all(Array.from({ length: 200 }, (_, i) => find(`invented-${at}-${i}`)));
    }
    assert.equal(fetches, 11);
  });

  it('serve on for 24 h while the issuer is away, and no longer', async () => {
    open();
    await find('a');
    published = null;
    nowMs = HOUR;
    await keys.find('ci', { alg: 'RS256', kid: 'new' });
    assert.equal(await find('a'), 1);
    assert.equal(keys.stats()[0]?.problem, 'nobody answers');
    nowMs = 24 * HOUR;
    assert.equal(await find('a'), 1);
    nowMs = 24 * HOUR + 1;
    assert.equal(await find('a'), 'none');
    published = { keys: [a] };
    nowMs += 30 * SECOND;
    assert.equal(await find('a'), 1);
  });

  it('that were never fetched are asked for by the next request after 30 s', async () => {
    published = null;
    open();
    assert.equal(await find('a'), 'none');
    published = { keys: [a] };
    assert.deepEqual([await find('a'), fetches], ['none', 1]);
    nowMs = 30 * SECOND;
    assert.deepEqual([await find('a'), fetches], [1, 2]);
  });

  it('that left the set are no longer known', async () => {
    open();
    await find('a');
    published = { keys: [b] };
    nowMs = 30 * SECOND;
    assert.equal(await find('b'), 1);
    assert.equal(await find('a'), 0);
  });

  for (const [what, answer] of [
    ['an empty set', { keys: [] }],
    ['a set of unknown types', { keys: [{ kty: 'future', kid: 'a' }] }],
    ['no set', { error: 'maintenance' }],
    ['a list', []],
    ['text', 'text'],
  ] as const) {
    it(`stay the last good ones after ${what}`, async () => {
      open();
      await find('a');
      published = answer;
      nowMs = 30 * SECOND;
      assert.equal(await find('b'), 0);
      assert.equal(await find('a'), 1);
      assert.notEqual(keys.stats()[0]?.problem, null);
    });
  }

  it('are chosen without a key id only where one key has the algorithm', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const elliptic = { ...(await exportJWK(publicKey)), kid: 'e' };
    published = { keys: [a, elliptic] };
    open();
    assert.deepEqual([await find(undefined), await find(undefined, 'ES256')], [1, 1]);
    published = { keys: [a, b, elliptic] };
    nowMs = 30 * SECOND;
    await find('unknown');
    assert.deepEqual([await find(undefined), await find(undefined, 'ES256')], [0, 1]);
  });

  describe('are left out', () => {
    const left: [what: string, make: () => Promise<unknown>, warns: boolean][] = [
      ['of RSA under 2048 bits', () => jwkOf('x', 1024), true],
      [
        'of RSA under 2048 bits and without an id',
        async () => ({ ...(await jwkOf('x', 1024)), kid: undefined }),
        true,
      ],
      ['that are no keys', async () => 'x', false],
      ['that are nothing', async () => null, false],
      ['with a secret', async () => ({ kty: 'oct', k: 'c2VjcmV0', kid: 'x' }), false],
      ['for encryption', async () => ({ ...a, kid: 'x', use: 'enc' }), false],
      ['that may only sign', async () => ({ ...a, kid: 'x', key_ops: ['sign'] }), false],
      ['of another algorithm', async () => ({ ...a, kid: 'x', alg: 'RS512' }), false],
      [
        'with the public exponent 1, for which anybody can sign',
        async () => ({ ...b, kid: 'x', e: 'AQ' }),
        true,
      ],
      ['with the public exponent 0', async () => ({ ...b, kid: 'x', e: 'AA' }), true],
      ['with an even public exponent', async () => ({ ...b, kid: 'x', e: 'AQAC' }), true],
      ['that are damaged', async () => ({ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA', kid: 'x' }), true],
      ['without their members', async () => ({ kty: 'RSA', kid: 'x' }), false],
    ];
    for (const [what, make, warns] of left) {
      it(what, async () => {
        published = { keys: [await make(), a] };
        open();
        assert.deepEqual([await find('a'), await find('x')], [1, 0]);
        assert.equal(warned.length > 0, warns);
      });
    }

    const zero = (text: string | undefined): string =>
      Buffer.concat([Buffer.alloc(1), Buffer.from(text ?? '', 'base64url')]).toString('base64url');
    const padded = (text: string | undefined): string =>
      `${Buffer.from(text ?? '', 'base64url').toString('base64')}\n`;
    const { publicKey: onCurve } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const spellings: [what: string, key: () => Promise<JWK>, respell: (key: JWK) => object][] = [
      ['with a zero before the modulus', async () => b, ({ n }) => ({ n: zero(n) })],
      ['with a zero before the exponent', async () => b, ({ e }) => ({ e: zero(e) })],
      ['in base64 with padding', async () => b, ({ n }) => ({ n: padded(n) })],
      [
        'on a curve, in base64 with padding',
        () => exportJWK(onCurve),
        ({ x, y }) => ({ x: padded(x), y: padded(y) }),
      ],
      ['on a curve, with a zero before x', () => exportJWK(onCurve), ({ x }) => ({ x: zero(x) })],
    ];
    for (const [what, key, respell] of spellings) {
      it(`that are this server's own, written ${what}`, async () => {
        const jwk = await key();
        own = new Set([await calculateJwkThumbprint(jwk)]);
        published = { keys: [a, { ...jwk, ...respell(jwk), kid: 'x' }] };
        open();
        assert.deepEqual([await find('a'), await find('x', jwk.kty === 'EC' ? 'ES256' : 'RS256')], [1, 0]);
        assert.equal(warned.length, 1);
      });
    }

    it('with a warning of few characters, whatever their ids are', async () => {
      const weak = await jwkOf('x'.repeat(10_000), 1024);
      published = {
        keys: [a, ...Array.from({ length: 80 }, (_, at) => ({ ...weak, kid: `${at}${weak.kid}` }))],
      };
      open();
      await find('a');
      assert.ok(JSON.stringify(warned).length < 500);
    });

    it('with a warning where the set has more than 64', async () => {
      published = { keys: [a, ...Array.from({ length: 64 }, (_, at) => ({ ...b, kid: `b-${at}` }))] };
      open();
      assert.deepEqual([await find('b-62'), await find('b-63')], [1, 0]);
      assert.match(JSON.stringify(warned), /the set has 65 keys, and 64 are read/);
    });

    it("that are this server's own", async () => {
      own = new Set([await calculateJwkThumbprint(b)]);
      published = { keys: [a, b] };
      open();
      assert.deepEqual([await find('a'), await find('b')], [1, 0]);
      assert.equal(warned.length, 1);
    });
  });

  it('are shared by entries that differ in their audience alone', async () => {
    open([settings, { ...settings, name: 'more', audience: 'https://more.example.com' }]);
    await find('a');
    assert.deepEqual(await keys.find('more', { alg: 'RS256', kid: 'a' }).then((found) => found.length), 1);
    assert.equal(fetches, 1);
  });

  it('of an entry that does not exist are none', async () => {
    open();
    assert.equal(await keys.find('nobody', { alg: 'RS256', kid: 'a' }), 'none');
  });

  it('tell that they were never fetched, and what failed, whatever that is', async () => {
    published = () => Promise.reject('a text');
    open();
    assert.deepEqual(keys.stats(), [
      { name: 'ci', issuer: settings.issuer, keys: 0, ageSeconds: null, problem: null },
    ]);
    await find('a');
    assert.equal(keys.stats()[0]?.problem, 'a text');
  });

  it('tell their number and their age', async () => {
    open();
    await find('a');
    nowMs = 5 * MINUTE;
    assert.deepEqual(keys.stats(), [
      { name: 'ci', issuer: settings.issuer, keys: 1, ageSeconds: 300, problem: null },
    ]);
  });
});
