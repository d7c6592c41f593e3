import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPublicKey, generateKeyPairSync, randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CompactSign,
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  exportJWK,
  type JWTHeaderParameters,
  type JWTVerifyOptions,
  jwtVerify,
} from 'jose';
import request from 'supertest';
import { identifyKey } from '../../src/keys/jwks.ts';
import { refuseSampleKey } from '../../src/keys/sample-keys.ts';
import { CONTRACT } from '../support/contract.ts';
import { ACME, LOGIN } from '../support/directory/acme.ts';
import { closeKeyrings, memoryKeyStore, openKeyring, randomMasterKey, startedCell } from '../support/keys.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SCOPE = 'repository:acme/app:pull';
const ROOT = join(import.meta.dirname, '../..');
const ISSUER = 'cellpass';
const AUDIENCE = 'container_registry';
const AS_A_REGISTRY: JWTVerifyOptions = {
  issuer: ISSUER,
  audience: AUDIENCE,
  algorithms: ['RS256'],
  typ: 'JWT',
};

const isMethod = (name: string): boolean => ['get', 'put', 'post', 'delete'].includes(name);
const pem = (body: string): string => `-----BEGIN CERTIFICATE-----\n${body}\n-----END CERTIFICATE-----\n`;
const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('security checks: keys and tokens', () => {
  let server: TestServer;
  let other: TestServer;

  before(async () => {
    server = await startTestServer();
    other = await startTestServer({ environment: { CELLPASS_CELL: '2' } });
    await server.apply(ACME);
    await other.apply(ACME);
  });
  after(async () => {
    await server.close();
    await other.close();
  });
  afterEach(closeKeyrings);

  const tokenOf = async (of: TestServer, as?: readonly [string, string]): Promise<string> =>
    (await of.ask({ scope: SCOPE, ...(as && { as }) })).body.token;
  const jwksOf = (of: TestServer) => createLocalJWKSet(JSON.parse(of.keyring.published().body));

  /** A token of every kind that the server issues, and the nested JWT of each. */
  async function everyToken(): Promise<readonly string[]> {
    const logins = Object.values(LOGIN);
    const tokens: string[] = [];
    for (const as of logins) {
      const { body } = await server.ask({ as, scope: SCOPE });
      if (typeof body.token !== 'string') continue;
      tokens.push(body.token, String(decodeJwt(body.token)['user']));
    }
    assert.ok(tokens.length > 6);
    return tokens;
  }

  describe('security check 1: no registry token opens an admin or key route', () => {
    const routes = Object.entries(CONTRACT.paths).flatMap(([path, operations]) =>
      path.startsWith('/admin/') || path === '/metrics'
        ? Object.keys(operations)
            .filter(isMethod)
            .map((method) => [method.toUpperCase(), path] as const)
        : [],
    );

    it(`${routes.length} routes are not on the public listener, whatever token is shown`, async () => {
      assert.ok(routes.length > 20);
      const [first = ''] = await everyToken();
      for (const [method, path] of routes) {
        for (const token of [first, 'Bearer', '']) {
          const url = path.replace(/\{\w+\}/g, '1');
          const answer = await fetch(`${urlOf(server)}${url}`, {
            method,
            headers: { authorization: `Bearer ${token}` },
          });
          assert.equal(answer.status, 404, `${method} ${path}`);
        }
      }
    });

    it('a service must be configured, so no client chooses a token’s audience', async () => {
      for (const service of [
        'cellpass',
        'admin',
        '/admin/v1/keys',
        'cellpass-admin',
        `${AUDIENCE} admin`,
        '',
      ]) {
        await server.ask({ as: LOGIN.alice, scope: SCOPE, service }).expect(404);
      }
      for (const token of await everyToken()) {
        const { aud } = decodeJwt(token);
        assert.ok(aud === AUDIENCE || aud === undefined);
      }
    });

    it('a key that a client sends as a token is not installed', async () => {
      const before = server.keyring.published().etag;
      for (const token of await everyToken()) {
        await request(server.app).get('/jwt/auth').set('Authorization', `Bearer ${token}`);
      }
      assert.equal(server.keyring.published().etag, before);
    });
  });

  describe('security checks 3 and 31: no JWT is taken for a credential, and no forged one for ours', () => {
    /** Tokens with our `kid` that a verifier of our JWK Set must refuse. */
    async function forgeries(): Promise<ReadonlyMap<string, string>> {
      const real = await tokenOf(server, LOGIN.alice);
      const claims = decodeJwt(real);
      const { kid } = decodeProtectedHeader(real);
      const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      const jwk = await exportJWK(publicKey);
      const [ours] = server.keyring.published().jwks.keys;
      const ourPem = createPublicKey({ key: { ...ours! }, format: 'jwk' })
        .export({ type: 'spki', format: 'pem' })
        .toString();
      const payload = Buffer.from(JSON.stringify(claims));
      const rsa = (header: Partial<JWTHeaderParameters>) =>
        new CompactSign(payload)
          .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: kid!, ...header })
          .sign(privateKey);
      const hmac = (secret: string | Uint8Array) =>
        new CompactSign(payload)
          .setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: kid! })
          .sign(typeof secret === 'string' ? Buffer.from(secret) : secret);
      const [header, body, signature] = real.split('.') as [string, string, string];
      const unsigned = segment({ alg: 'none', typ: 'JWT', kid });
      return new Map([
        ['another key under our kid', await rsa({})],
        ['another key, embedded as jwk', await rsa({ jwk })],
        ['another key, at a URL', await rsa({ jku: 'https://attacker.example/jwks.json' })],
        ['another key, with our certificate', await rsa({ x5c: decodeProtectedHeader(real).x5c! })],
        ['no algorithm', `${unsigned}.${body}.`],
        ['no algorithm, with our signature', `${unsigned}.${body}.${signature}`],
        ['HS256 over our public key', await hmac(ourPem)],
        ['HS256 over our JWK Set', await hmac(server.keyring.published().body)],
        ['HS256 over the path of the key file', await hmac('/etc/cellpass/jwks.json')],
        [
          'an unknown critical header',
          `${segment({ alg: 'RS256', kid, crit: ['x'], x: 1 })}.${body}.${signature}`,
        ],
        [
          'an unencoded payload',
          `${segment({ alg: 'RS256', kid, crit: ['b64'], b64: false })}.${body}.${signature}`,
        ],
        ['changed claims', `${header}.${segment({ ...claims, sub: 'root' })}.${signature}`],
      ]);
    }

    it('security check 3: a verifier with our JWK Set refuses every forgery, and takes the real one', async () => {
      const jwks = jwksOf(server);
      await jwtVerify(await tokenOf(server, LOGIN.alice), jwks, AS_A_REGISTRY);
      for (const [what, token] of await forgeries()) {
        await assert.rejects(jwtVerify(token, jwks, AS_A_REGISTRY), what);
      }
    });

    it('security check 31: cellpass itself treats a JWT of any kind as no credential', async () => {
      const anonymous = await server.ask({ scope: 'repository:acme/open:pull' });
      const own = [...(await everyToken()), ...(await forgeries()).values()];
      for (const token of own) {
        const asBearer = await server
          .ask({ scope: 'repository:acme/open:pull' })
          .set('Authorization', `Bearer ${token}`);
        assert.equal(asBearer.status, anonymous.status);
        if (asBearer.status === 200) assert.equal(decodeJwt(asBearer.body.token).sub, '');
        // As a password it is unknown, or too long.
        const asPassword = await server.ask({ as: ['alice', token], scope: SCOPE });
        assert.ok([400, 401].includes(asPassword.status), String(asPassword.status));
      }
    });
  });

  describe('security check 4: no key is shared with others', () => {
    const published: [thumbprint: string, source: RegExp][] = [
      ['NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs', /RFC 7517/],
      ['IsUn6_e04MaShXFIISMp4kG62LWzMIPy_MvSA5pJgX8', /RFC 7515/],
      ['oGDmHqCJ7yzMkWEkrlZVHkvrHIyQwtlDmeq5ForUHeY', /jwt\.io/],
      ['DrvVs-cP2T0DbE-3xTFdJxmZzoPvDnL3W8-sNEPDjtI', /Harbor/],
      ['Hj2kB_EIUCv_RkD1e7rM7db4LN9SMIMUPLMHBabm-nc', /Portus/],
    ];
    for (const [thumbprint, source] of published) {
      it(`security check 4: refuses to start with a sample key: ${source.source}`, async () => {
        assert.throws(() => refuseSampleKey(thumbprint), { code: 'conflict', message: source });
        const cell = await startedCell();
        await cell.changeKeys((key) => ({ ...key, thumbprint }));
        await assert.rejects(cell.start(), { code: 'conflict', message: source });
      });
    }

    it('security check 4: two installations have no key in common', async () => {
      const rings = await Promise.all(
        [1, 2].map(async () => openKeyring({ store: memoryKeyStore(), masterKey: await randomMasterKey() })),
      );
      const ids = rings.flatMap((ring) => [
        ...new Set(ring.published().jwks.keys.map(({ n }) => n)),
        ring.caPem(),
      ]);
      assert.equal(new Set(ids).size, 4);
    });

    it('security check 4: the repository holds no private key', () => {
      const files = execFileSync('git', ['ls-files', '-z'], { cwd: ROOT, encoding: 'utf8' })
        .split('\0')
        .filter((name) => name !== '');
      assert.ok(files.length > 100);
      const secret = /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/]|"d"\s*:\s*"[A-Za-z0-9_-]{40}/;
      const found = files.filter((name) => secret.test(readFileSync(join(ROOT, name), 'latin1')));
      assert.deepEqual(found, []);
    });
  });

  it('security check 20: the ids of RFC 7638 and libtrust, for a key of known ids, and with leading zeros', () => {
    // The key of RFC 7638 §3.1, with its JWK thumbprint and its libtrust id.
    const n =
      '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw';
    const ids = {
      kid: 'VUZD:EDHW:YWLN:RBFQ:KOA3:UVZ2:XKG5:2V2J:WTPI:6SRD:U6PZ:VCO5',
      thumbprint: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs',
    };
    const padded = Buffer.concat([Buffer.alloc(3), Buffer.from(n, 'base64url')]).toString('base64url');
    for (const modulus of [n, padded]) {
      const key = createPublicKey({ key: { kty: 'RSA', n: modulus, e: 'AAEAAQ' }, format: 'jwk' });
      const { kid, thumbprint } = identifyKey(key);
      assert.deepEqual({ kid, thumbprint }, ids);
    }
    const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey;
    assert.throws(() => identifyKey(ec), { code: 'invalid' });
  });

  it('security check 29: a token is refused by another cell’s registry, and for another issuer or service', async () => {
    const token = await tokenOf(server, LOGIN.alice);
    await jwtVerify(token, jwksOf(server), AS_A_REGISTRY);
    await assert.rejects(jwtVerify(token, jwksOf(other), AS_A_REGISTRY), /no applicable key/);
    await assert.rejects(
      jwtVerify(token, jwksOf(server), { ...AS_A_REGISTRY, audience: 'elsewhere' }),
      /aud/,
    );
    await assert.rejects(jwtVerify(token, jwksOf(server), { ...AS_A_REGISTRY, issuer: 'somebody' }), /iss/);
    const [leaf = ''] = decodeProtectedHeader(token).x5c ?? [];
    const shown = new X509Certificate(pem(leaf));
    assert.ok(shown.verify(new X509Certificate(server.keyring.caPem()).publicKey));
    assert.ok(!shown.verify(new X509Certificate(other.keyring.caPem()).publicKey));
    assert.equal(decodeJwt(token)['cell'], 'cell-1');
  });

  it('security check 32: no header redirects a client, and no answer contains a host that the client sent', async () => {
    const evil = 'evil.example';
    const headers: [name: string, value: string][] = [
      ['Host', evil],
      ['X-Forwarded-Host', evil],
      ['X-Forwarded-Proto', 'http'],
      ['Forwarded', `host=${evil};proto=http`],
      ['X-Original-URL', `//${evil}/`],
      ['Referer', `https://${evil}/`],
    ];
    const paths = [
      '/jwt/auth',
      '/jwt/auth/',
      `//${evil}/jwt/auth`,
      `/jwt/auth?service=${AUDIENCE}&redirect_uri=//${evil}`,
      '/',
    ];
    for (const [name, value] of headers) {
      for (const path of paths) {
        const answer = await request(server.app).get(path).set(name, value).auth('alice', 'not the password');
        assert.ok(answer.status >= 400, `${path}: ${answer.status}`);
        assert.equal(answer.headers['location'], undefined);
        assert.ok(!JSON.stringify([answer.headers, answer.body]).includes(evil), `${name} ${path}`);
        if (answer.status === 401) {
          assert.equal(answer.headers['www-authenticate'], 'Basic realm="cellpass", charset="UTF-8"');
        }
      }
    }
  });

  it('security check 36: token ids are UUIDs of the system’s random numbers, and no two are alike', async () => {
    const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
    const issued = new Set<string>();
    for (let round = 0; round < 10; round++) {
      const tokens = await Promise.all(Array.from({ length: 20 }, () => tokenOf(server, LOGIN.api)));
      for (const { jti } of tokens.map((token) => decodeJwt(token))) {
        assert.match(jti!, uuid);
        issued.add(jti!);
      }
    }
    assert.equal(issued.size, 200);
    // The ids come from the system's random generator, which repeats none of so many.
    const draws = 300_000;
    const seen = new Set(Array.from({ length: draws }, () => randomUUID()));
    assert.equal(seen.size, draws);
  });
});

function urlOf({ app }: TestServer): string {
  const address = app.address();
  return typeof address === 'object' && address !== null ? `http://127.0.0.1:${address.port}` : '';
}
