// @peculiar/x509 finds its parts through decorators and needs this before it is loaded.
import 'reflect-metadata';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import {
  checkPrimeSync,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  generatePrimeSync,
  type KeyObject,
  X509Certificate,
} from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as x509 from '@peculiar/x509';
import { issueLeaf, openAuthority, toX5c } from '../../src/keys/certificate.ts';
import type { MasterKey } from '../../src/keys/master-key.ts';
import { openSigningKey } from '../../src/keys/signing-key.ts';
import { importAuthority, importSigningKey, type PemPair } from '../../src/rotation/import.ts';
import { opensslIsMissing, opensslVerify, randomMasterKey } from '../support/keys.ts';

const NOW = new Date('2026-11-24T10:00:00Z');
const DAY_MS = 24 * 60 * 60 * 1000;
const LONGEST = 600;

const rsa = (modulusLength = 2048): KeyObject => generateKeyPairSync('rsa', { modulusLength }).privateKey;
const ec = (namedCurve: string): KeyObject => generateKeyPairSync('ec', { namedCurve }).privateKey;
const pkcs1 = (key: KeyObject): string => key.export({ type: 'pkcs1', format: 'pem' }).toString();
const pkcs8 = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString();

interface Made {
  readonly ca?: boolean;
  readonly fromDays?: number;
  readonly untilDays?: number;
  /** ASN.1's older kind of text; Go compares names octet by octet. */
  readonly printable?: boolean;
}

/** A self-signed certificate. */
async function certificateOf(
  key: KeyObject,
  { ca = false, fromDays = -1, untilDays = 30, printable }: Made = {},
) {
  const isRsa = key.asymmetricKeyType === 'rsa';
  const algorithm = isRsa
    ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
    : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const { subtle } = crypto;
  const privateKey = await subtle.importKey(
    'pkcs8',
    key.export({ type: 'pkcs8', format: 'der' }),
    algorithm,
    true,
    ['sign'],
  );
  const jwk = await subtle.exportKey('jwk', privateKey);
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, key_ops: _ops, ...open } = jwk;
  const publicKey = await subtle.importKey('jwk', open, algorithm, true, ['verify']);
  const name = printable === true ? { printableString: 'somebody' } : { utf8String: 'sömebody' };
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    keys: { privateKey, publicKey },
    name: new x509.Name([{ CN: [name] }]).toJSON(),
    notBefore: new Date(NOW.getTime() + fromDays * DAY_MS),
    notAfter: new Date(NOW.getTime() + untilDays * DAY_MS),
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(ca, undefined, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      ...(ca ? [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true)] : []),
    ],
  });
  return `${certificate.toString('pem')}\n`;
}

/** A CA as openssl makes it from now on, its name in the kind of text that `mask` leaves. */
async function opensslAuthority(key: KeyObject, mask: 'nombstr' | 'utf8only'): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-import-'));
  try {
    const [keyFile, config, out] = [join(dir, 'ca.key'), join(dir, 'ca.cnf'), join(dir, 'ca.crt')];
    await writeFile(keyFile, pkcs8(key), { mode: 0o600 });
    await writeFile(
      config,
      `[req]\nprompt = no\nstring_mask = ${mask}\ndistinguished_name = name\nx509_extensions = ca\n` +
        '[name]\nO = Example\nCN = registry CA\n' +
        '[ca]\nbasicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign\nsubjectKeyIdentifier = hash\n',
    );
    const args = ['req', '-x509', '-new', '-sha256', '-days', '30', '-config', config, '-key', keyFile];
    await promisify(execFile)('openssl', [...args, '-out', out]);
    return await readFile(out, 'utf8');
  } finally {
    await rm(dir, { recursive: true });
  }
}

const prime = (bits: number): bigint => generatePrimeSync(bits, { bigint: true });

interface RsaParts {
  readonly p: bigint;
  readonly q: bigint;
  readonly e: bigint;
  readonly d: bigint;
}

/** An RSA key of these numbers; what is left out fits them. */
function rsaOf(parts: Partial<RsaParts>): KeyObject {
  const e = parts.e ?? 65_537n;
  const suits = (one: bigint): boolean => gcd(one - 1n, e) === 1n;
  const fresh = (): bigint => {
    for (;;) {
      const candidate = prime(1024);
      if (parts.d !== undefined || suits(candidate)) return candidate;
    }
  };
  const { p = fresh(), q = fresh() } = parts;
  const d = parts.d ?? inverse(e, (p - 1n) * (q - 1n));
  return toKey({ n: p * q, e, d, p, q });
}

/** The public half of one key with the private half of another. */
function mixedRsa(): KeyObject {
  const [one, other] = [rsa(), rsa()].map((key) => key.export({ format: 'jwk' }));
  return createPrivateKey({ key: { ...other, n: one?.n ?? '' }, format: 'jwk' });
}

function closePrimes(): Pick<RsaParts, 'p' | 'q'> {
  const p = prime(1024);
  let q = p + 2n;
  while (!checkPrimeSync(q) || gcd(q - 1n, 65_537n) !== 1n) q += 2n;
  return { p, q };
}

function toKey({ n, e, d, p, q }: RsaParts & { readonly n: bigint }): KeyObject {
  const text = (number: bigint): string => {
    const hex = number.toString(16);
    return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex').toString('base64url');
  };
  const key = {
    kty: 'RSA',
    n: text(n),
    e: text(e),
    d: text(d),
    p: text(p),
    q: text(q),
    dp: text(d % (p - 1n)),
    dq: text(d % (q - 1n)),
    qi: text(gcd(q, p) === 1n ? inverse(q, p) : 1n),
  };
  return createPrivateKey({ key, format: 'jwk' });
}

function gcd(a: bigint, b: bigint): bigint {
  return b === 0n ? a : gcd(b, a % b);
}

/** The extended algorithm of Euclid; 1 where there is no inverse. */
function inverse(number: bigint, modulus: bigint): bigint {
  let [r0, r1, s0, s1] = [number % modulus, modulus, 1n, 0n];
  while (r1 !== 0n) {
    const quotient = r0 / r1;
    [r0, r1, s0, s1] = [r1, r0 - quotient * r1, s1, s0 - quotient * s1];
  }
  return r0 === 1n ? ((s0 % modulus) + modulus) % modulus : 1n;
}

/** Certificates from that of the key up to the root, each with its validity. */
async function chainOf(key: KeyObject, dates: readonly Made[]): Promise<readonly string[]> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' };
  const keys = await Promise.all(
    dates.map((_, at) => (at === 0 ? key : rsa())).map((one) => toWebKeys(one, algorithm)),
  );
  return Promise.all(
    dates.map(async ({ fromDays = -1, untilDays = 30 }, at) => {
      const issuer = Math.min(at + 1, dates.length - 1);
      const certificate = await x509.X509CertificateGenerator.create({
        subject: `CN=level ${at}`,
        issuer: `CN=level ${issuer}`,
        notBefore: new Date(NOW.getTime() + fromDays * DAY_MS),
        notAfter: new Date(NOW.getTime() + untilDays * DAY_MS),
        publicKey: keys[at]!.publicKey,
        signingKey: keys[issuer]!.privateKey,
        signingAlgorithm: algorithm,
        extensions: [new x509.BasicConstraintsExtension(at > 0, undefined, true)],
      });
      return `${certificate.toString('pem')}\n`;
    }),
  );
}

async function toWebKeys(key: KeyObject, algorithm: { readonly name: string; readonly hash: string }) {
  const { subtle } = crypto;
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const der = key.export({ type: 'pkcs8', format: 'der' });
  return {
    publicKey: await subtle.importKey('spki', spki, algorithm, true, ['verify']),
    privateKey: await subtle.importKey('pkcs8', der, algorithm, true, ['sign']),
  };
}

/** Two primes' product of 1024 bits, large enough that a modulus with it has 2048 bits. */
function composite(): bigint {
  for (;;) {
    const product = prime(512) * prime(512);
    if (product >= 3n << 1022n) return product;
  }
}

describe('importing', () => {
  let masterKey: MasterKey;
  before(async () => {
    masterKey = await randomMasterKey();
  });

  const importKey = (pems: PemPair) =>
    importSigningKey(pems, { masterKey, now: NOW, longestTokenSeconds: LONGEST });
  const importCa = (pems: PemPair) => importAuthority(pems, { masterKey, now: NOW });

  describe('a signing key', () => {
    for (const [form, write] of [
      ['PKCS #1', pkcs1],
      ['PKCS #8', pkcs8],
    ] as const) {
      it(`in ${form}, without a certificate: pending, and its tokens show none`, async () => {
        const stored = await importKey({ keyPem: write(rsa()), certificatePem: null });
        assert.deepEqual([stored.state, stored.createdAt, stored.certificate], ['pending', NOW, null]);
        const opened = await openSigningKey(stored, masterKey);
        assert.deepEqual(opened?.x5c, []);
      });
    }

    it('with its certificate: its tokens show that one', async () => {
      const key = rsa(3072);
      const own = await certificateOf(key);
      const stored = await importKey({ keyPem: pkcs8(key), certificatePem: own });
      const opened = await openSigningKey(stored, masterKey);
      assert.deepEqual(opened?.x5c, toX5c(own));
      assert.equal(stored.certificate?.authorityId, null);
    });

    describe('with a chain of certificates', () => {
      const key = rsa();
      let chain: readonly string[];
      let unrelated: string;
      before(async () => {
        chain = await chainOf(key, [{}, { untilDays: 20 }, {}]);
        unrelated = await certificateOf(rsa(), { ca: true });
      });
      const importChain = (...pems: readonly string[]) =>
        importKey({ keyPem: pkcs8(key), certificatePem: pems.join('some text\n') });

      it('shows them up to the root, which is left out, and ends with the first that ends', async () => {
        for (const given of [chain, chain.slice(0, 2)]) {
          const stored = await importChain(...given);
          const opened = await openSigningKey(stored, masterKey);
          assert.deepEqual(opened?.x5c, toX5c(chain.slice(0, 2).join('')));
          assert.deepEqual(stored.certificate?.notAfter, new Date(NOW.getTime() + 20 * DAY_MS));
        }
      });

      it('is refused where one did not issue the one before', async () => {
        const [leaf = '', middle = '', root = ''] = chain;
        const wrong: [pems: readonly string[], message: RegExp][] = [
          [[leaf, unrelated], /certificate 2 did not issue certificate 1/],
          [[leaf, root], /certificate 2 did not issue certificate 1/],
          [[leaf, middle, unrelated], /certificate 3 did not issue certificate 2/],
          [[leaf, root, middle], /certificate 2 did not issue certificate 1/],
          [[middle, leaf], /belongs to another private key/],
        ];
        for (const [pems, message] of wrong) {
          await assert.rejects(importChain(...pems), { code: 'invalid', message });
        }
      });

      it('is refused where one is not valid now, or where a token would get too long', async () => {
        const expired = await chainOf(key, [{}, { fromDays: -9, untilDays: -1 }, {}]);
        await assert.rejects(importChain(...expired), { code: 'invalid', message: /valid from .* not now/ });
        const long = await chainOf(key, [{}, {}, {}, {}, {}, {}]);
        await assert.rejects(importChain(...long), { code: 'invalid', message: /at most 4/ });
        await importChain(...(await chainOf(key, [{}, {}, {}, {}, {}])));
      });
    });

    const weak: [what: string, message: RegExp, make: () => KeyObject][] = [
      ['with the exponent 1', /public exponent is 1\b/, () => rsaOf({ e: 1n })],
      ['with the exponent 3', /public exponent is 3\b/, () => rsaOf({ e: 3n })],
      ['with an even exponent', /public exponent is 65538\b/, () => rsaOf({ e: 65_538n, d: 1n })],
      ['with a small factor', /small factor 65521/, () => rsaOf({ p: 65_521n, q: prime(2040) })],
      ['with 3 as a factor', /small factor 3\b/, () => rsaOf({ p: 3n, q: prime(2048) })],
      ['of close primes', /close to each other/, () => rsaOf(closePrimes())],
      ['of factors that are not prime', /not prime/, () => rsaOf({ p: composite() })],
      ['whose private exponent is of another key', /exponents do not match/, () => rsaOf({ d: 65_537n })],
      ['whose primes are of another key', /does not fit/, () => mixedRsa()],
    ];
    for (const [what, message, make] of weak) {
      it(`${what} is refused: ${message.source}`, async () => {
        await assert.rejects(importKey({ keyPem: pkcs8(make()), certificatePem: null }), {
          code: 'invalid',
          message,
        });
      });
    }

    it('is taken with another exponent than the usual one', async () => {
      await importKey({ keyPem: pkcs8(rsaOf({ e: 65_539n })), certificatePem: null });
    });

    const key = rsa();
    const refused: [what: string, message: RegExp, pems: () => PemPair | Promise<PemPair>][] = [
      ['of 1024 bits', /2048 bits or more/, () => ({ keyPem: pkcs8(rsa(1024)), certificatePem: null })],
      ['of 1536 bits', /2048 bits or more/, () => ({ keyPem: pkcs8(rsa(1536)), certificatePem: null })],
      [
        'that is the public half',
        /is not a private key in PEM/,
        () => ({
          keyPem: createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
          certificatePem: null,
        }),
      ],
      ['that is not RSA', /must be RSA/, () => ({ keyPem: pkcs8(ec('prime256v1')), certificatePem: null })],
      ['that is no key', /is not a private key in PEM/, () => ({ keyPem: 'key', certificatePem: null })],
      [
        'under a passphrase',
        /passphrase/,
        () => ({
          keyPem: key
            .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' })
            .toString(),
          certificatePem: null,
        }),
      ],
      [
        'with the certificate of another',
        /belongs to another private key/,
        async () => ({ keyPem: pkcs8(key), certificatePem: await certificateOf(rsa()) }),
      ],
      [
        'with a certificate that has expired',
        /valid from .* not now.* import the key without a certificate/,
        async () => ({
          keyPem: pkcs8(key),
          certificatePem: await certificateOf(key, { fromDays: -9, untilDays: -1 }),
        }),
      ],
      [
        'with a certificate of tomorrow',
        /valid from .* not now/,
        async () => ({ keyPem: pkcs8(key), certificatePem: await certificateOf(key, { fromDays: 1 }) }),
      ],
      [
        'with what is no certificate',
        /is not an X\.509/,
        () => ({ keyPem: pkcs8(key), certificatePem: 'x' }),
      ],
    ];
    for (const [what, message, pems] of refused) {
      it(`${what} is refused: ${message.source}`, async () => {
        await assert.rejects(importKey(await pems()), { code: 'invalid', message });
      });
    }
  });

  describe('a CA', () => {
    const suitable: [what: string, make: () => KeyObject, printable: boolean][] = [
      ['EC P-256', () => ec('prime256v1'), false],
      ['EC P-256, with a name in older characters', () => ec('prime256v1'), true],
      ['RSA', rsa, true],
    ];
    for (const [what, make, printable] of suitable) {
      it(`of ${what} issues leaves that verify, its name octet by octet`, async () => {
        const key = make();
        const certificatePem = await certificateOf(key, { ca: true, printable });
        const stored = await importCa({ keyPem: pkcs8(key), certificatePem });
        assert.equal(stored.state, 'pending');
        const authority = await openAuthority(stored, masterKey);
        assert.ok(authority);
        const signing = await importKey({ keyPem: pkcs8(rsa()), certificatePem: null });
        const leaf = await issueLeaf({ authority, key: signing, now: NOW, leafHours: 48 });
        const [subject, issuer] = [certificatePem, leaf.pem].map((pem) => new x509.X509Certificate(pem));
        assert.deepEqual(
          Buffer.from(issuer!.issuerName.toArrayBuffer()),
          Buffer.from(subject!.subjectName.toArrayBuffer()),
        );
        assert.ok(new X509Certificate(leaf.pem).verify(new X509Certificate(certificatePem).publicKey));
        assert.ok(new X509Certificate(leaf.pem).checkIssued(new X509Certificate(certificatePem)));
      });
    }

    // The tags of UTF8String and PrintableString.
    for (const [mask, tag] of [
      ['utf8only', 0x0c],
      ['nombstr', 0x13],
    ] as const) {
      it(`made by openssl (${mask}) issues leaves that openssl verifies, its name octet by octet`, async function () {
        if (await opensslIsMissing()) return this.skip();
        const caKey = ec('prime256v1');
        const certificatePem = await opensslAuthority(caKey, mask);
        const now = new Date();
        const stored = await importAuthority({ keyPem: pkcs8(caKey), certificatePem }, { masterKey, now });
        const authority = await openAuthority(stored, masterKey);
        const signing = await importKey({ keyPem: pkcs8(rsa()), certificatePem: null });
        const leaf = await issueLeaf({ authority: authority!, key: signing, now, leafHours: 48 });
        assert.match(await opensslVerify(certificatePem, leaf.pem, now), /OK/);
        const subject = Buffer.from(new x509.X509Certificate(certificatePem).subjectName.toArrayBuffer());
        assert.deepEqual(Buffer.from(new x509.X509Certificate(leaf.pem).issuerName.toArrayBuffer()), subject);
        assert.equal(subject[subject.indexOf('Example') - 2], tag);
      });
    }

    const key = ec('prime256v1');
    const refused: [what: string, message: RegExp, pems: () => PemPair | Promise<PemPair>][] = [
      ['of another curve', /EC P-256/, () => ({ keyPem: pkcs8(ec('secp384r1')), certificatePem: 'x' })],
      ['of too short an RSA key', /2048 bits/, () => ({ keyPem: pkcs8(rsa(1024)), certificatePem: 'x' })],
      [
        'without a certificate',
        /needs its certificate/,
        () => ({ keyPem: pkcs8(key), certificatePem: null }),
      ],
      [
        'that may issue nothing',
        /is not a CA/,
        async () => ({ keyPem: pkcs8(key), certificatePem: await certificateOf(key) }),
      ],
      [
        'that has expired',
        /not now/,
        async () => ({
          keyPem: pkcs8(key),
          certificatePem: await certificateOf(key, { ca: true, fromDays: -9, untilDays: -1 }),
        }),
      ],
    ];
    for (const [what, message, pems] of refused) {
      it(`${what} is refused: ${message.source}`, async () => {
        await assert.rejects(importCa(await pems()), { code: 'invalid', message });
      });
    }
  });
});
