// @peculiar/x509 uses decorators, which need this polyfill before it is loaded.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, type KeyObject, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { CellpassError } from '../errors.ts';
import { identifyKey } from '../keys/jwks.ts';
import {
  type KeyCertificate,
  newAuthority,
  newKey,
  type StoredAuthority,
  type StoredKey,
} from '../keys/key-set.ts';
import type { MasterKey } from '../keys/master-key.ts';
import { refuseSampleKey } from '../keys/sample-keys.ts';
import { refuseWeakKey } from './key-strength.ts';

/**
 * PEM text of a private key and its certificate. A CA needs a certificate; a signing key may have
 * one.
 */
export interface PemPair {
  readonly keyPem: string;
  readonly certificatePem: string | null;
}

interface ImportContext {
  readonly masterKey: MasterKey;
  readonly now: Date;
}

const MIN_MODULUS_BITS = 2048;
const CA_CURVES: ReadonlySet<string> = new Set(['prime256v1']);

/**
 * Imports a signing key, such as GitLab's, in the state `pending`: RSA of 2048 bits or more, PKCS
 * #1 or PKCS #8. Its tokens contain the given certificate or chain, or none. Throws `invalid` with what is
 * wrong, and `conflict` for a key whose private half is public.
 */
export async function importSigningKey(
  { keyPem, certificatePem }: PemPair,
  { masterKey, now, longestTokenSeconds }: ImportContext & { readonly longestTokenSeconds: number },
): Promise<StoredKey> {
  const privateKey = readPrivateKey(keyPem);
  const bits = privateKey.asymmetricKeyDetails?.modulusLength ?? 0;
  if (privateKey.asymmetricKeyType !== 'rsa' || bits < MIN_MODULUS_BITS) {
    throw invalid(
      `the key is ${describeKey(privateKey)}: it must be RSA of ${MIN_MODULUS_BITS} bits or more`,
    );
  }
  const key = identifyKey(createPublicKey(privateKey));
  refuseSampleKey(key.thumbprint);
  refuseWeakKey(privateKey);
  return newKey({
    ...key,
    encryptedPrivateKey: await masterKey.encrypt(key.kid, toPkcs8(privateKey)),
    certificate: certificatePem === null ? null : readChainOf(privateKey, certificatePem, now),
    createdAt: now,
    longestTokenSeconds,
  });
}

/**
 * Imports a CA in the state `pending`: EC P-256, or RSA of 2048 bits or more, with a certificate
 * that may issue others. Throws `invalid` with what is wrong.
 */
export async function importAuthority(
  { keyPem, certificatePem }: PemPair,
  { masterKey, now }: ImportContext,
): Promise<StoredAuthority> {
  const privateKey = readPrivateKey(keyPem);
  refuseUnsuitableAuthorityKey(privateKey);
  refuseWeakKey(privateKey);
  if (certificatePem === null) throw invalid('a CA needs its certificate: give it beside the key');
  const certificate = validAt(readOwnCertificate(privateKey, certificatePem), now);
  if (!new X509Certificate(certificate.pem).ca) {
    throw invalid('the certificate is not a CA: its basic constraints must contain CA:TRUE');
  }
  const identifier = await keyIdentifierOf(certificate.pem);
  return newAuthority({
    id: identifier,
    certificatePem: certificate.pem,
    encryptedPrivateKey: await masterKey.encrypt(identifier, toPkcs8(privateKey)),
    createdAt: now,
    notAfter: certificate.notAfter,
  });
}

function refuseUnsuitableAuthorityKey(key: KeyObject): void {
  const { asymmetricKeyType, asymmetricKeyDetails: details } = key;
  const isEc = asymmetricKeyType === 'ec' && CA_CURVES.has(details?.namedCurve ?? '');
  const isRsa = asymmetricKeyType === 'rsa' && (details?.modulusLength ?? 0) >= MIN_MODULUS_BITS;
  if (!isEc && !isRsa) {
    throw invalid(
      `the key of the CA is ${describeKey(key)}: it must be EC P-256, or RSA of ${MIN_MODULUS_BITS} bits or more`,
    );
  }
}

function describeKey({ asymmetricKeyType: type, asymmetricKeyDetails: details }: KeyObject): string {
  const size = details?.namedCurve ?? (details?.modulusLength && `of ${details.modulusLength} bits`);
  return [type?.toUpperCase(), size].filter(Boolean).join(' ');
}

function readPrivateKey(pem: string): KeyObject {
  if (/ENCRYPTED/.test(pem)) {
    throw invalid('the key is encrypted with a passphrase: decrypt it first, with "openssl pkey"');
  }
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw invalid('the key is not a private key in PEM, PKCS #1 or PKCS #8', cause);
  }
}

/** The most certificates of a chain, so that a token fits in the headers that proxies take. */
const LONGEST_CHAIN = 4;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/**
 * The certificate of the key and those above it, up to the root, which is left out: a verifier has
 * it, or does not trust the chain. Each must have issued the one before.
 */
function readChainOf(privateKey: KeyObject, pem: string, now: Date): KeyCertificate {
  const own = readOwnCertificate(privateKey, pem);
  const [, ...others] = pem.match(PEM_CERTIFICATE) ?? [];
  const chain = [own];
  for (const [at, text] of others.entries()) {
    const issuer = parseCertificate(text);
    const issued = chain[at] ?? own;
    if (!isIssuedBy(issued, issuer)) {
      throw invalid(
        `certificate ${at + 2} did not issue certificate ${at + 1}: put the certificate of the key first, and then each issuer after what it issued`,
      );
    }
    chain.push(issuer);
  }
  const root = chain.at(-1) ?? own;
  const shown = chain.length > 1 && isIssuedBy(root, root) ? chain.slice(0, -1) : chain;
  if (shown.length > LONGEST_CHAIN) {
    throw invalid(
      `the chain has ${shown.length} certificates without the root: at most ${LONGEST_CHAIN} fit in a token`,
    );
  }
  const [first = own, ...above] = shown;
  return above.reduce((joined, one) => joinCertificates(joined, validAt(one, now)), validAt(first, now));
}

/** A chain is valid while all its certificates are. */
function joinCertificates(one: KeyCertificate, other: KeyCertificate): KeyCertificate {
  return {
    authorityId: null,
    pem: `${one.pem}${other.pem}`,
    notBefore: one.notBefore > other.notBefore ? one.notBefore : other.notBefore,
    notAfter: one.notAfter < other.notAfter ? one.notAfter : other.notAfter,
  };
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);
}

/** The first certificate of `pem`. */
function readOwnCertificate(privateKey: KeyObject, pem: string): X509Certificate {
  const certificate = parseCertificate(pem);
  if (certificate.checkPrivateKey(privateKey)) return certificate;
  throw invalid('the certificate belongs to another private key');
}

function parseCertificate(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw invalid('the certificate is not an X.509 certificate in PEM', cause);
  }
}

function validAt(certificate: X509Certificate, now: Date): KeyCertificate {
  const notBefore = new Date(certificate.validFrom);
  const notAfter = new Date(certificate.validTo);
  if (now < notBefore || now >= notAfter) {
    const advice =
      now < notBefore
        ? ''
        : '. Registries refuse a token that shows it; a registry that lists it in rootcertbundle knows the key by its id and accepts tokens without it: import the key without a certificate';
    throw invalid(
      `a certificate is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}, not now${advice}`,
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
