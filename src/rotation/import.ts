// @peculiar/x509 finds its parts through decorators and needs this before it is loaded.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { CellpassError } from '../errors.ts';
import { identifyKey } from '../keys/jwks.ts';
import type { KeyCertificate, StoredAuthority, StoredKey } from '../keys/key-set.ts';
import type { MasterKey } from '../keys/master-key.ts';
import { refuseSampleKey } from '../keys/sample-keys.ts';

/** PEM text: a private key, and for a CA always, for a signing key perhaps, its certificate. */
export interface PemPair {
  readonly keyPem: string;
  readonly certificatePem: string | null;
}

interface Receipt {
  readonly masterKey: MasterKey;
  readonly now: Date;
}

const MIN_MODULUS_BITS = 2048;
const CA_CURVES: ReadonlySet<string> = new Set(['prime256v1']);

/**
 * A signing key from elsewhere, such as GitLab's: RSA of 2048 bits or more, PKCS #1 or PKCS #8, in the state `pending`. With a
 * certificate its tokens show that one, without it none. Throws `invalid` with what is wrong, `conflict` for a key that
 * everybody has.
 */
export async function importSigningKey(
  { keyPem, certificatePem }: PemPair,
  { masterKey, now, longestTokenSeconds }: Receipt & { readonly longestTokenSeconds: number },
): Promise<StoredKey> {
  const privateKey = readPrivateKey(keyPem);
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (privateKey.asymmetricKeyType !== 'rsa' || bits < MIN_MODULUS_BITS) {
    throw invalid(`the key must be RSA of ${MIN_MODULUS_BITS} bits or more, for RS256`);
  }
  const key = identifyKey(createPublicKey(privateKey));
  refuseSampleKey(key.thumbprint);
  return {
    ...key,
    state: 'pending',
    encryptedPrivateKey: await masterKey.encrypt(key.kid, toPkcs8(privateKey)),
    certificate: certificatePem === null ? null : readCertificateOf(privateKey, certificatePem, now),
    createdAt: now,
    activatedAt: null,
    retiredAt: null,
    revokedAt: null,
    revocationReason: null,
    publishedUntil: null,
    longestTokenSeconds,
  };
}

/**
 * A CA from elsewhere, in the state `pending`: EC P-256, or RSA of 2048 bits or more, with a certificate that may issue others.
 * Throws `invalid` with what is wrong.
 */
export async function importAuthority(
  { keyPem, certificatePem }: PemPair,
  { masterKey, now }: Receipt,
): Promise<StoredAuthority> {
  const privateKey = readPrivateKey(keyPem);
  refuseUnsuitableAuthorityKey(privateKey);
  if (certificatePem === null) throw invalid('a CA needs its certificate');
  const certificate = readCertificateOf(privateKey, certificatePem, now);
  if (!new X509Certificate(certificate.pem).ca) {
    throw invalid('the certificate is not a CA: its basic constraints must say so');
  }
  const identifier = await keyIdentifierOf(certificate.pem);
  return {
    id: identifier,
    state: 'pending',
    certificatePem: certificate.pem,
    encryptedPrivateKey: await masterKey.encrypt(identifier, toPkcs8(privateKey)),
    createdAt: now,
    activatedAt: null,
    publishedUntil: null,
    notAfter: certificate.notAfter,
  };
}

function refuseUnsuitableAuthorityKey({ asymmetricKeyType, asymmetricKeyDetails: details }: KeyObject): void {
  const isEc = asymmetricKeyType === 'ec' && CA_CURVES.has(details?.namedCurve ?? '');
  const isRsa = asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= MIN_MODULUS_BITS;
  if (!isEc && !isRsa) {
    throw invalid(`the key of a CA must be EC P-256, or RSA of ${MIN_MODULUS_BITS} bits or more`);
  }
}

function readPrivateKey(pem: string): KeyObject {
  if (/ENCRYPTED/.test(pem)) {
    throw invalid('the key is protected by a passphrase: take it off first, with "openssl pkey"');
  }
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw invalid('the key is no private key in PEM, PKCS #1 or PKCS #8', cause);
  }
}

/** Only the first certificate counts: a registry that knows it needs no chain. */
function readCertificateOf(privateKey: KeyObject, pem: string, now: Date): KeyCertificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw invalid('the certificate is no X.509 certificate in PEM', cause);
  }
  if (!certificate.checkPrivateKey(privateKey)) throw invalid('the certificate belongs to another key');
  const notBefore = new Date(certificate.validFrom);
  const notAfter = new Date(certificate.validTo);
  if (now < notBefore || now >= notAfter) {
    throw invalid(
      `the certificate is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}, not now`,
    );
  }
  return { authorityId: null, pem: certificate.toString(), notBefore, notAfter };
}

async function keyIdentifierOf(pem: string): Promise<string> {
  const certificate = new x509.X509Certificate(pem);
  const given = certificate.getExtension(x509.SubjectKeyIdentifierExtension);
  return (given ?? (await x509.SubjectKeyIdentifierExtension.create(certificate.publicKey))).keyId;
}

function toPkcs8(key: KeyObject): Uint8Array {
  return new Uint8Array(key.export({ format: 'der', type: 'pkcs8' }));
}

function invalid(message: string, cause?: unknown): CellpassError {
  return new CellpassError('invalid', message, { cause });
}
