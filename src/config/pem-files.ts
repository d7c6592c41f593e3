import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';

/**
 * PEM files for TLS. OpenSSL passes over what it can't read: with an empty CA file Node would trust
 * its own CAs, and half a file would count as a shorter one.
 */

const BEGIN = /-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----/g;
const CERTIFICATE = /-----BEGIN ((?:X509 |TRUSTED )?CERTIFICATE)-----[A-Za-z0-9+/=\s]+-----END \1-----/g;

/**
 * The text of a file with one certificate or more.
 * @throws {Error} when it can't be read, holds no certificate, or one that is damaged or cut off.
 */
export function readCertificates(file: string): string {
  const text = readFileSync(file, 'utf8');
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) throw new Error(`${file} holds no certificate in PEM`);
  if ((text.match(BEGIN) ?? []).length !== certificates.length)
    throw new Error(`${file} holds a certificate that is damaged or cut off`);
  for (const certificate of certificates) parse(file, certificate);
  return text;
}

function parse(file: string, certificate: string): void {
  try {
    new X509Certificate(certificate);
  } catch (cause) {
    throw new Error(`${file} holds a certificate that is damaged or cut off`, { cause });
  }
}

/**
 * The text of a file with a private key.
 * @throws {Error} when it can't be read, or holds no private key without a passphrase.
 */
export function readPrivateKey(file: string): string {
  const text = readFileSync(file, 'utf8');
  try {
    createPrivateKey(text);
  } catch (cause) {
    throw new Error(`${file} holds no private key in PEM without a passphrase`, { cause });
  }
  return text;
}
