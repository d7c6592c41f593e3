import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, randomUUID, sign as signBytes } from 'node:crypto';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { createIssuerKeys } from '../../../src/authn/federation/issuer-keys.ts';
import { createIdTokenVerifier, type IdTokenVerifier } from '../../../src/authn/federation/verify.ts';
import type { IssuerSettings } from '../../../src/config/federation.ts';
import { CellpassError } from '../../../src/errors.ts';
import { AUDIENCE, createMemoryIssuer, type MemoryIssuer } from '../../support/federation/issuer.ts';

const NOW = new Date('2026-11-27T12:00:00Z');
const SECONDS = NOW.getTime() / 1000;
const LOG = { warn: () => undefined };
const MAX_LIFETIME = 3600;

const base64url = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('an ID token', () => {
  let issuer: MemoryIssuer;
  let verifier: IdTokenVerifier;
  const closers: (() => void)[] = [];
  const verifierFor = (...issuers: readonly MemoryIssuer[]): IdTokenVerifier => {
    const byName = new Map(issuers.map((one) => [one.settings.keys.jwksUri, one]));
    const keys = createIssuerKeys({
      issuers: issuers.map(({ settings }) => settings),
      fetchKeys: (entry) => byName.get(entry.keys.jwksUri)!.fetchKeys(entry),
      ownThumbprints: () => new Set(),
      log: LOG,
    });
    closers.push(keys.close);
    return createIdTokenVerifier({
      issuers: issuers.map(({ settings }) => settings),
      maxLifetimeSeconds: MAX_LIFETIME,
      keys,
    });
  };
  const now = (): Date => NOW;
  const reasonOf = async (text: string, by: IdTokenVerifier = verifier): Promise<string> => {
    const verdict = await by.verify(text, NOW);
    return 'reason' in verdict ? verdict.reason : 'accepted';
  };
  before(async () => {
    issuer = await createMemoryIssuer({ now });
    verifier = verifierFor(issuer);
  });
  after(() => {
    for (const close of closers) close();
  });

  it('says who it is about when all is right', async () => {
    const text = await issuer.sign({ sub: 'repo:acme/api', jti: 'j-1' });
    const verdict = await verifier.verify(text, NOW);
    assert.ok(!('reason' in verdict));
    const { issuer: name, subject, jti, expiresAt } = verdict;
    assert.deepEqual(
      [name, subject, jti, expiresAt.getTime() / 1000],
      ['ci', 'repo:acme/api', 'j-1', SECONDS + 300],
    );
  });

  describe('by its claims', () => {
    const cases: [what: string, claims: Record<string, unknown>, reason: string][] = [
      ['an audience in a list', { aud: ['somebody', AUDIENCE] }, 'accepted'],
      ['another audience', { aud: 'https://other.example.com' }, 'id_token_audience'],
      ['an audience that begins like ours', { aud: `${AUDIENCE}/more` }, 'id_token_audience'],
      ['no audience', { aud: undefined }, 'id_token_audience'],
      ['an empty list of audiences', { aud: [] }, 'id_token_audience'],
      ['an audience in an object', { aud: { 0: AUDIENCE } }, 'id_token_audience'],
      ['an issuer that the settings do not name', { iss: 'https://evil.example.com' }, 'id_token_issuer'],
      ['the issuer with a slash more', { iss: 'https://ci.example.com/' }, 'id_token_issuer'],
      ['the issuer in other case', { iss: 'https://CI.example.com' }, 'id_token_issuer'],
      ['the issuer in a list', { iss: ['https://ci.example.com'] }, 'id_token_issuer'],
      ['no issuer', { iss: undefined }, 'id_token_issuer'],
      ['a subject that no record can hold', { sub: 'a\u0000b' }, 'id_token_malformed'],
      ['half a character in its id', { jti: 'a\ud83d' }, 'id_token_malformed'],
      ['an id that is too long', { jti: 'x'.repeat(1025) }, 'id_token_malformed'],
      ['a subject that is a number', { sub: 7 }, 'accepted'],
      ['no end', { exp: undefined }, 'id_token_times'],
      ['no beginning', { iat: undefined }, 'id_token_times'],
      ['an end as text', { exp: String(SECONDS + 300) }, 'id_token_times'],
      ['an end that no clock reaches', { exp: 1e300 }, 'id_token_times'],
      ['a moment before which it is not valid as text', { nbf: 'now' }, 'id_token_times'],
      ['an end that is now', { exp: SECONDS }, 'id_token_expired'],
      ['an end in 5 s', { exp: SECONDS + 5 }, 'id_token_expired'],
      ['an end in 6 s', { exp: SECONDS + 6 }, 'accepted'],
      ['an end before its beginning', { iat: SECONDS + 20, exp: SECONDS + 10 }, 'id_token_life'],
      ['a beginning in 30 s', { iat: SECONDS + 30 }, 'accepted'],
      ['a beginning in 31 s', { iat: SECONDS + 31 }, 'id_token_not_yet'],
      ['a moment before which it is not valid in 30 s', { nbf: SECONDS + 30 }, 'accepted'],
      ['a moment before which it is not valid in 31 s', { nbf: SECONDS + 31 }, 'id_token_not_yet'],
      ['the longest life', { iat: SECONDS - 3000, exp: SECONDS + 600 }, 'accepted'],
      ['a second more than the longest life', { iat: SECONDS - 3000, exp: SECONDS + 601 }, 'id_token_life'],
    ];
    for (const [what, claims, reason] of cases) {
      it(`with ${what}: ${reason}`, async () =>
        assert.equal(await reasonOf(await issuer.sign(claims)), reason));
    }
  });

  describe('by its header', () => {
    const cases: [what: string, header: Record<string, unknown>, reason: string][] = [
      ['a key of its own', { jwk: { kty: 'RSA' } }, 'id_token_header'],
      ['the address of keys', { jku: 'https://evil.example.com/keys' }, 'id_token_header'],
      ['the address of a certificate', { x5u: 'https://evil.example.com/cert' }, 'id_token_header'],
      ['a certificate', { x5c: ['MII'] }, 'id_token_header'],
      ['a key id that is no text', { kid: 7 }, 'id_token_header'],
      ['a key id that nobody has', { kid: 'invented' }, 'id_token_key'],
      ['no key id, where the set leaves no choice', { kid: undefined }, 'accepted'],
      ['a type', { typ: 'JWT' }, 'accepted'],
    ];
    for (const [what, header, reason] of cases) {
      it(`with ${what}: ${reason}`, async () => {
        assert.equal(await reasonOf(await issuer.sign({}, header)), reason);
      });
    }

    for (const name of ['crit', 'b64', 'jwk'] as const) {
      it(`with ${name}, whatever its value: id_token_header`, async () => {
        const [header, payload, signature] = (await issuer.sign()).split('.');
        const changed = { ...JSON.parse(Buffer.from(header!, 'base64url').toString()), [name]: null };
        assert.equal(await reasonOf(`${base64url(changed)}.${payload}.${signature}`), 'id_token_header');
      });
    }

    it('with the algorithm none: id_token_algorithm', async () => {
      const [, payload] = (await issuer.sign()).split('.');
      for (const alg of ['none', 'None', 'NONE', '']) {
        const header = base64url({ alg });
        assert.equal(await reasonOf(`${header}.${payload}.AA`), 'id_token_algorithm');
      }
    });

    it("with HS256 and the issuer's public key as the secret: id_token_algorithm", async () => {
      const [, payload] = (await issuer.sign()).split('.');
      const [jwk] = issuer.jwks.keys as { kid: string }[];
      for (const secret of [JSON.stringify(jwk), JSON.stringify(issuer.jwks)]) {
        const input = `${base64url({ alg: 'HS256', kid: jwk!.kid })}.${payload}`;
        const mac = createHmac('sha256', secret).update(input).digest('base64url');
        assert.equal(await reasonOf(`${input}.${mac}`), 'id_token_algorithm');
      }
    });

    it('with an algorithm that the issuer may not use: id_token_algorithm', async () => {
      const only = await createMemoryIssuer({ now, settings: { algorithms: ['ES256'] } });
      assert.equal(await reasonOf(await only.sign(), verifierFor(only)), 'id_token_algorithm');
    });

    it('with an algorithm for which the key is not: id_token_key', async () => {
      const strict = await createMemoryIssuer({ now, settings: { algorithms: ['RS256', 'PS256'] } });
      const [header, payload, signature] = (await strict.sign()).split('.');
      const { kid } = JSON.parse(Buffer.from(header!, 'base64url').toString());
      const text = `${base64url({ alg: 'PS256', kid })}.${payload}.${signature}`;
      assert.equal(await reasonOf(text, verifierFor(strict)), 'id_token_key');
    });
  });

  describe('by its signature', () => {
    it('of another key under the same id: id_token_signature', async () => {
      const { privateKey } = await generateKeyPair('RS256');
      const [header, payload] = (await issuer.sign()).split('.');
      const { kid } = JSON.parse(Buffer.from(header!, 'base64url').toString());
      const claims = JSON.parse(Buffer.from(payload!, 'base64url').toString());
      const text = await new SignJWT(claims).setProtectedHeader({ alg: 'RS256', kid }).sign(privateKey);
      assert.equal(await reasonOf(text), 'id_token_signature');
    });

    it('over other claims: id_token_signature', async () => {
      const [header, payload, signature] = (await issuer.sign()).split('.');
      const claims = { ...JSON.parse(Buffer.from(payload!, 'base64url').toString()), sub: 'root' };
      assert.equal(await reasonOf(`${header}.${base64url(claims)}.${signature}`), 'id_token_signature');
    });

    it('of ECDSA in DER, which JOSE does not use: id_token_signature', async () => {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      const elliptic = await createMemoryIssuer({ now });
      const kid = randomUUID();
      elliptic.published = { keys: [{ ...(await exportJWK(publicKey)), kid }] };
      const [, payload] = (await elliptic.sign()).split('.');
      const input = `${base64url({ alg: 'ES256', kid })}.${payload}`;
      const der = signBytes('sha256', Buffer.from(input), privateKey).toString('base64url');
      const raw = signBytes('sha256', Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' });
      const by = verifierFor(elliptic);
      assert.equal(await reasonOf(`${input}.${der}`, by), 'id_token_signature');
      assert.equal(await reasonOf(`${input}.${raw.toString('base64url')}`, by), 'accepted');
    });

    it('by ES256', async () => {
      const elliptic = await createMemoryIssuer({ now, algorithm: 'ES256' });
      assert.equal(await reasonOf(await elliptic.sign(), verifierFor(elliptic)), 'accepted');
    });
  });

  it('of a form that is none of a JWT: id_token_malformed', async () => {
    const [header, payload, signature] = (await issuer.sign()).split('.');
    const texts = [
      '',
      'oidc',
      `${header}.${payload}`,
      `${header}.${payload}.${signature}.`,
      `.${payload}.${signature}`,
      `${header}..${signature}`,
      `${header}.${payload}.`,
      ` ${header}.${payload}.${signature}`,
      `${header}=.${payload}.${signature}`,
      `${base64url([])}.${payload}.${signature}`,
      `${header}.${base64url('text')}.${signature}`,
      `${header}.${base64url(null)}.${signature}`,
      `${header}.${Buffer.from([0xff, 0xfe]).toString('base64url')}.${signature}`,
    ];
    for (const text of texts) assert.equal(await reasonOf(text), 'id_token_malformed', text);
  });

  describe('of two clusters with one issuer', () => {
    let one: MemoryIssuer;
    let other: MemoryIssuer;
    const cluster = (name: string): Partial<IssuerSettings> => ({
      name,
      issuer: 'https://kubernetes.default.svc.cluster.local',
      audience: `${AUDIENCE}/${name}`,
      keys: { jwksUri: `https://${name}.internal/openid/v1/jwks`, fallbackUri: null, caFile: null },
    });
    before(async () => {
      one = await createMemoryIssuer({ now, settings: cluster('one') });
      other = await createMemoryIssuer({ now, settings: cluster('other') });
    });

    it('is of the cluster whose key signed it and whose audience it names', async () => {
      const by = verifierFor(one, other);
      for (const each of [one, other]) {
        const verdict = await by.verify(await each.sign(), NOW);
        assert.equal(verdict.issuer, each.settings.name);
        assert.ok(!('reason' in verdict));
      }
    });

    it('is refused with the audience of the other cluster', async () => {
      const by = verifierFor(one, other);
      const text = await one.sign({ aud: other.settings.audience });
      assert.equal(await reasonOf(text, by), 'id_token_key');
    });

    it('is of the one whose key signed it where it names both audiences', async () => {
      const by = verifierFor(one, other);
      const text = await other.sign({ aud: [one.settings.audience, other.settings.audience] });
      const verdict = await by.verify(text, NOW);
      assert.deepEqual(['reason' in verdict, verdict.issuer], [false, 'other']);
    });

    for (const [order, names] of [
      ['first', ['away', 'other']],
      ['last', ['other', 'away']],
    ] as const) {
      it(`is of the cluster whose key signed it also where the keys of the ${order} entry are not known`, async () => {
        const away = await createMemoryIssuer({ now, settings: cluster('away') });
        away.published = null;
        const byName = { away, other };
        const by = verifierFor(...names.map((name) => byName[name]));
        const aud = [away.settings.audience, other.settings.audience];
        const verdict = await by.verify(await other.sign({ aud }), NOW);
        assert.deepEqual(['reason' in verdict, verdict.issuer], [false, 'other']);
        // Perhaps the missing keys signed it.
        const { reason } = await by.verify(await one.sign({ aud }), NOW).catch((error) => error);
        assert.equal(reason, 'issuer_keys');
      });
    }
  });

  it('is not judged while no key of its issuer is known', async () => {
    const away = await createMemoryIssuer({ now });
    away.published = null;
    const by = verifierFor(away);
    await assert.rejects(by.verify(await away.sign(), NOW), (error) => {
      assert.ok(error instanceof CellpassError);
      const { code, reason, details } = error;
      assert.deepEqual([code, reason, details.retryAfterSeconds], ['unavailable', 'issuer_keys', 30]);
      return true;
    });
  });

  it('of a stranger makes nothing happen', async () => {
    const before = issuer.fetches;
    for (let i = 0; i < 100; i++) await reasonOf(await issuer.sign({ iss: `https://${i}.example.com` }));
    assert.equal(issuer.fetches, before);
  });
});
