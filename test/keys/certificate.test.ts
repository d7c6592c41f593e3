import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import {
  type Authority,
  generateAuthority,
  issueLeaf,
  openAuthority,
  toX5c,
} from '../../src/keys/certificate.ts';
import { identifyKey } from '../../src/keys/jwks.ts';
import type { KeyCertificate, StoredAuthority } from '../../src/keys/key-set.ts';
import type { MasterKey } from '../../src/keys/master-key.ts';
import { HOUR_MS, opensslIsMissing, opensslText, opensslVerify, randomMasterKey } from '../support/keys.ts';

const NOW = new Date('2026-11-24T10:00:00.987Z');
const key = identifyKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey);

describe('certificates', () => {
  let masterKey: MasterKey;
  let stored: StoredAuthority;
  let authority: Authority;
  let leaf: KeyCertificate;

  before(async () => {
    masterKey = await randomMasterKey();
    stored = await generateAuthority({ cellId: 7, masterKey, now: NOW });
    const opened = await openAuthority(stored, masterKey);
    assert.ok(opened);
    authority = opened;
    leaf = await issueLeaf({ authority, key, now: NOW, leafHours: 48 });
  });

  it('makes a CA that names its cell and lives ten years', () => {
    const ca = new X509Certificate(stored.certificatePem);
    assert.match(ca.subject, /^O=cellpass\nCN=cellpass cell-7 CA [0-9a-f]{16}$/);
    assert.equal(ca.ca, true);
    assert.equal(ca.publicKey.asymmetricKeyType, 'ec');
    assert.equal(ca.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1');
    assert.equal(ca.verify(ca.publicKey), true);
    assert.equal(new Date(ca.validFrom).toISOString(), '2026-11-24T09:00:00.000Z');
    assert.equal(new Date(ca.validTo).toISOString(), '2036-11-24T10:00:00.000Z');
    assert.equal(stored.notAfter.toISOString(), '2036-11-24T10:00:00.000Z');
  });

  it('gives no two CAs the same name: verifiers look an issuer up by it', async () => {
    const other = await generateAuthority({ cellId: 7, masterKey, now: NOW });
    const subject = ({ certificatePem }: StoredAuthority): string =>
      new X509Certificate(certificatePem).subject;
    assert.notEqual(subject(other), subject(stored));
    assert.notEqual(other.id, stored.id);
  });

  it('issues a leaf for the signing key, backdated by an hour, for so many hours', () => {
    const certificate = new X509Certificate(leaf.pem);
    const ca = new X509Certificate(stored.certificatePem);
    assert.equal(certificate.checkIssued(ca), true);
    assert.equal(certificate.verify(ca.publicKey), true);
    assert.equal(certificate.ca, false);
    assert.equal(identifyKey(certificate.publicKey).kid, key.kid);
    assert.equal(leaf.notBefore.toISOString(), '2026-11-24T09:00:00.000Z');
    assert.equal(leaf.notAfter.toISOString(), '2026-11-26T10:00:00.000Z');
    assert.equal(new Date(certificate.validFrom).toISOString(), leaf.notBefore.toISOString());
    assert.equal(new Date(certificate.validTo).toISOString(), leaf.notAfter.toISOString());
    assert.equal(leaf.authorityId, stored.id);
  });

  it('gives each leaf a serial number of its own', async () => {
    const again = await issueLeaf({ authority, key, now: NOW, leafHours: 48 });
    assert.notEqual(new X509Certificate(again.pem).serialNumber, new X509Certificate(leaf.pem).serialNumber);
  });

  it('ends a leaf with its CA at the latest', async () => {
    const now = new Date(stored.notAfter.getTime() - HOUR_MS);
    const last = await issueLeaf({ authority, key, now, leafHours: 48 });
    assert.equal(last.notAfter.getTime(), stored.notAfter.getTime());
  });

  it('puts leaves into x5c as standard base64 DER, in the order of the file', () => {
    const der = (pem: string): string => new X509Certificate(pem).raw.toString('base64');
    assert.deepEqual(toX5c(leaf.pem), [der(leaf.pem)]);
    assert.deepEqual(toX5c(leaf.pem + stored.certificatePem), [der(leaf.pem), der(stored.certificatePem)]);
  });

  it('opens a CA only with its own certificate', async () => {
    const other = await generateAuthority({ cellId: 7, masterKey, now: NOW });
    await assert.rejects(openAuthority({ ...stored, certificatePem: other.certificatePem }, masterKey), {
      code: 'conflict',
    });
  });

  it('shows nothing of an open CA but its id and dates', () => {
    assert.deepEqual(JSON.parse(JSON.stringify(authority)), {
      id: stored.id,
      notAfter: '2036-11-24T10:00:00.000Z',
    });
    assert.equal(authority.privateKey.extractable, false);
  });

  describe('as openssl sees them', () => {
    before(async function () {
      if (await opensslIsMissing()) this.skip();
    });

    const bundles: [title: string, hoursLater: number, accepted: boolean][] = [
      ['at its issue', 0, true],
      ['half an hour before it, by a clock that is behind', -0.5, true],
      ['two hours before it', -2, false],
      ['shortly before its end', 47.9, true],
      ['after its end', 48.1, false],
    ];
    for (const [title, hoursLater, accepted] of bundles) {
      it(`verifies a leaf against the CA alone ${title}: ${accepted ? 'yes' : 'no'}`, async () => {
        const verified = opensslVerify(
          stored.certificatePem,
          leaf.pem,
          new Date(NOW.getTime() + hoursLater * HOUR_MS),
        );
        if (accepted) assert.match(await verified, /: OK/);
        else await assert.rejects(verified, /not yet valid|expired/);
      });
    }

    it('does not verify a leaf of another CA', async () => {
      const other = await generateAuthority({ cellId: 7, masterKey, now: NOW });
      await assert.rejects(opensslVerify(other.certificatePem, leaf.pem, NOW), /unable to get local issuer/);
    });

    const extensions: [which: 'ca' | 'leaf', pattern: RegExp][] = [
      ['ca', /Basic Constraints: critical\s+CA:TRUE, pathlen:0/],
      ['ca', /Key Usage: critical\s+Certificate Sign, CRL Sign\n/],
      ['ca', /Subject Key Identifier/],
      ['leaf', /Basic Constraints: critical\s+CA:FALSE/],
      ['leaf', /Key Usage: critical\s+Digital Signature\n/],
      ['leaf', /Subject Key Identifier/],
      ['leaf', /Authority Key Identifier/],
    ];
    for (const [which, pattern] of extensions) {
      it(`reads in the ${which} ${pattern.source}`, async () => {
        assert.match(await opensslText(which === 'ca' ? stored.certificatePem : leaf.pem), pattern);
      });
    }

    it('finds the CA’s key identifier in the leaf', async () => {
      const colons = stored.id.toUpperCase().replace(/..(?=.)/g, '$&:');
      const text = await opensslText(leaf.pem);
      assert.ok(text.slice(text.indexOf('Authority Key Identifier')).includes(colons));
    });
  });
});
