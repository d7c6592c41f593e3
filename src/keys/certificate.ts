// @peculiar/x509 uses decorators, which need this polyfill before it is loaded.
import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { CellpassError } from '../errors.ts';
import { importPublicJwk, type PublicKey } from './jwks.ts';
import { type KeyCertificate, newAuthority, type StoredAuthority } from './key-set.ts';
import type { MasterKey } from './master-key.ts';

/** A CA with its private key decrypted. Its JSON contains only its id and dates. */
export interface Authority {
  readonly id: string;
  readonly certificatePem: string;
  readonly notAfter: Date;
  readonly privateKey: webcrypto.CryptoKey;
  readonly signingAlgorithm: SigningAlgorithm;
  toJSON(): unknown;
}

/** How long a leaf certificate is valid after it is issued. */
export interface LeafLife {
  readonly leafHours: number;
}

export const HOUR_MS = 60 * 60 * 1000;
/** Certificates are valid from an hour ago, for verifiers whose clocks are slow. */
export const BACKDATED_MS = 60 * 60 * 1000;
const AUTHORITY_YEARS = 10;
/** The CA may issue leaves, but no other CA. */
const PATH_LENGTH = 0;
const CRITICAL = true;
const ECDSA_P256 = { name: 'ECDSA', namedCurve: 'P-256' } as const;
const ECDSA_SHA256 = { name: 'ECDSA', hash: 'SHA-256' } as const;
const RSA_SHA256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;

type SigningAlgorithm = typeof ECDSA_SHA256 | typeof RSA_SHA256;

/**
 * Generates a self-signed CA in the state `pending`: EC P-256, valid for ten years. Its name
 * contains the cell and random digits, because verifiers look issuers up by name.
 */
export async function generateAuthority(input: {
  readonly cellId: number;
  readonly masterKey: MasterKey;
  readonly now: Date;
}): Promise<StoredAuthority> {
  const keys = await webcrypto.subtle.generateKey(ECDSA_P256, true, ['sign', 'verify']);
  const keyIdentifier = await x509.SubjectKeyIdentifierExtension.create(keys.publicKey);
  const notAfter = wholeSeconds(input.now);
  notAfter.setUTCFullYear(notAfter.getUTCFullYear() + AUTHORITY_YEARS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    keys,
    name: [
      { O: ['cellpass'] },
      { CN: [`cellpass cell-${input.cellId} CA ${randomBytes(8).toString('hex')}`] },
    ],
    notBefore: backdated(input.now),
    notAfter,
    signingAlgorithm: ECDSA_SHA256,
    extensions: [
      new x509.BasicConstraintsExtension(true, PATH_LENGTH, CRITICAL),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, CRITICAL),
      keyIdentifier,
    ],
  });
  const pkcs8 = new Uint8Array(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  return newAuthority({
    id: keyIdentifier.keyId,
    certificatePem: toPem(certificate),
    encryptedPrivateKey: await input.masterKey.encrypt(keyIdentifier.keyId, pkcs8),
    createdAt: input.now,
    notAfter,
  });
}

/**
 * Decrypts a CA; undefined if its private half is deleted. Throws `conflict` if the master key
 * can't decrypt it, or if its private key and certificate don't belong together.
 */
export async function openAuthority(
  stored: StoredAuthority,
  masterKey: MasterKey,
): Promise<Authority | undefined> {
  const { id, certificatePem, notAfter, encryptedPrivateKey } = stored;
  if (encryptedPrivateKey === null) return undefined;
  const pkcs8 = await masterKey.decrypt(id, encryptedPrivateKey);
  const keyObject = createPrivateKey({ key: Buffer.from(pkcs8), format: 'der', type: 'pkcs8' });
  if (!new X509Certificate(certificatePem).checkPrivateKey(keyObject)) {
    throw new CellpassError(
      'conflict',
      `the private key of the CA ${id} does not belong to its certificate: the database was changed from outside. Restore it from a backup.`,
    );
  }
  const isRsa = keyObject.asymmetricKeyType === 'rsa';
  const privateKey = await webcrypto.subtle.importKey(
    'pkcs8',
    pkcs8,
    isRsa ? RSA_SHA256 : ECDSA_P256,
    false,
    ['sign'],
  );
  const signingAlgorithm = isRsa ? RSA_SHA256 : ECDSA_SHA256;
  return { id, certificatePem, notAfter, privateKey, signingAlgorithm, toJSON: () => ({ id, notAfter }) };
}

/**
 * Issues a certificate of `authority` for a signing key, valid from an hour ago until `leafHours`
 * from now, or until the CA's own end if that is sooner. It has no extended key usage: distribution
 * and GitLab's registry accept any.
 */
export async function issueLeaf(
  input: { readonly authority: Authority; readonly key: PublicKey; readonly now: Date } & LeafLife,
): Promise<KeyCertificate> {
  const { authority, key, now } = input;
  const spki = importPublicJwk(key.publicJwk).export({ type: 'spki', format: 'der' });
  const notBefore = backdated(now);
  const notAfter = earlier(
    wholeSeconds(new Date(now.getTime() + input.leafHours * HOUR_MS)),
    authority.notAfter,
  );
  const certificate = await x509.X509CertificateGenerator.create({
    issuer: new x509.X509Certificate(authority.certificatePem).subjectName,
    subject: [{ O: ['cellpass'] }, { CN: [key.kid] }],
    notBefore,
    notAfter,
    publicKey: spki,
    signingKey: authority.privateKey,
    signingAlgorithm: authority.signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, CRITICAL),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, CRITICAL),
      await x509.SubjectKeyIdentifierExtension.create(spki),
      new x509.AuthorityKeyIdentifierExtension(authority.id),
    ],
  });
  return { authorityId: authority.id, pem: toPem(certificate), notBefore, notAfter };
}

/**
 * The certificates of a PEM file in the form of `x5c` (RFC 7515 §4.1.6): base64 DER, in file order.
 */
export function toX5c(pem: string): readonly string[] {
  const bodies = pem.matchAll(/-----BEGIN CERTIFICATE-----([^-]+)-----END CERTIFICATE-----/g);
  return Array.from(bodies, ([, body = '']) => body.replace(/\s/g, ''));
}

function toPem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

function backdated(now: Date): Date {
  return wholeSeconds(new Date(now.getTime() - BACKDATED_MS));
}

/** X.509 times have no fractions of seconds (RFC 5280 §4.1.2.5). */
function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000);
}

function earlier(a: Date, b: Date): Date {
  return a < b ? a : b;
}
