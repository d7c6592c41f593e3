import assert from 'node:assert/strict';
import { createIssuerKeys } from '../../src/authn/federation/issuer-keys.ts';
import { createIdTokenVerifier, type IdTokenVerifier } from '../../src/authn/federation/verify.ts';
import { createMemoryIssuer, type MemoryIssuer } from '../support/federation/issuer.ts';
import { createRandom, type Random } from '../support/random.ts';

const TOKENS = 1_000_000;
const AT_ONCE = 200;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const NOW = new Date('2026-11-27T12:00:00Z');

describe('a million mutated ID tokens', () => {
  it('never pass, and never throw', async function () {
    this.timeout(600_000);
    const now = (): Date => NOW;
    const issuers = [
      await createMemoryIssuer({ now }),
      await createMemoryIssuer({ now, algorithm: 'ES256' }),
    ];
    const verifiers = issuers.map(verifierFor);
    const valid = await Promise.all(
      issuers.map(async ({ sign }) => [
        await sign(),
        await sign({ sub: 'job-2', aud: ['x', 'https://registry.example.com'] }),
      ]),
    );
    for (const [at, [text = '']] of valid.entries())
      assert.ok(!('reason' in (await verifiers[at]!.verify(text, NOW))));
    const random = createRandom(1);
    const reasons = new Map<string, number>();
    for (let made = 0; made < TOKENS; made += AT_ONCE) {
      const at = (made / AT_ONCE) % 2;
      const originals = valid[at]!;
      const texts = Array.from({ length: AT_ONCE }, () => mutate(originals, random)).filter(
        (text) => !originals.includes(text),
      );
      const verdicts = await Promise.all(texts.map((text) => verifiers[at]!.verify(text, NOW)));
      for (const [place, verdict] of verdicts.entries()) {
        assert.ok('reason' in verdict, texts[place]);
        reasons.set(verdict.reason, (reasons.get(verdict.reason) ?? 0) + 1);
      }
    }
    // Otherwise all would end at the first check.
    for (const reason of [
      'id_token_malformed',
      'id_token_signature',
      'id_token_issuer',
      'id_token_algorithm',
      'id_token_key',
    ])
      assert.ok((reasons.get(reason) ?? 0) > 100, `${reason}: ${reasons.get(reason)}`);
  });
});

function verifierFor(issuer: MemoryIssuer): IdTokenVerifier {
  const keys = createIssuerKeys({
    issuers: [issuer.settings],
    fetchKeys: issuer.fetchKeys,
    ownThumbprints: () => new Set(),
    log: { warn: () => undefined },
  });
  return createIdTokenVerifier({ issuers: [issuer.settings], maxLifetimeSeconds: 3600, keys });
}

function mutate(originals: readonly string[], random: Random): string {
  const { below, pick } = random;
  const text = pick(originals);
  const place = below(text.length);
  const parts = text.split('.');
  const other = pick(originals).split('.');
  switch (below(8)) {
    case 0:
      return text.slice(0, place) + pick([...ALPHABET]) + text.slice(place + 1);
    case 1:
      return text.slice(0, place) + text.slice(place + 1 + below(3));
    case 2:
      return text.slice(0, place) + pick([...ALPHABET, '.', '=', ' ', '\u0000', 'é']) + text.slice(place);
    case 3:
      return text.slice(0, place);
    case 4: {
      const part = below(parts.length);
      return parts.map((one, at) => (at === part ? other[at] : one)).join('.');
    }
    case 5:
      return [changed(parts[0]!, pick(HEADERS)), parts[1], parts[2]].join('.');
    case 6:
      return [parts[0], changed(parts[1]!, pick(CLAIMS)), parts[2]].join('.');
    default:
      return [parts[0], parts[1], Buffer.from(parts[2]!, 'base64url').reverse().toString('base64url')].join(
        '.',
      );
  }
}

const HEADERS: readonly object[] = [
  { alg: 'none' },
  { alg: 'HS256' },
  { alg: 'RS512' },
  { alg: 'ES256' },
  { alg: 'RS256' },
  { kid: 'x' },
  { kid: null },
  { jwk: {} },
  { crit: ['exp'] },
  { b64: false },
  { typ: 'at+jwt' },
];
const CLAIMS: readonly object[] = [
  { iss: 'https://evil.example.com' },
  { sub: 'root' },
  { exp: 9e11 },
  { aud: [] },
  { iat: null },
  { jti: 'x' },
  { __proto__: null, nbf: 'x' },
];

function changed(part: string, change: object): string {
  const value = { ...JSON.parse(Buffer.from(part, 'base64url').toString()), ...change };
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
