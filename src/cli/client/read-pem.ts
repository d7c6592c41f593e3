import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CellpassError } from '../../errors.ts';

/** The PEM texts that the admin API takes. */
interface PemPair {
  readonly key_pem: string;
  readonly certificate_pem: string;
}

/** Standard input, as an argument. */
const STDIN = '-';

/**
 * Reads a private key and its certificate, each as PEM or DER.
 * @param pem the file of the key; `-`: standard input.
 * @param cert the file of the certificate, or `-`, also beside a key from standard input: then the
 * input has both, as PEM.
 * @throws {CellpassError} `invalid` with the name of the file.
 */
export function readPemPair(pem: string, cert: string): PemPair {
  const key = readBytes(pem);
  const certificate = cert === STDIN && pem === STDIN ? key : readBytes(cert);
  return {
    key_pem: toKeyPem(key, pem),
    certificate_pem: isPem(certificate)
      ? certificate.toString('utf8')
      : certificateFromDer(certificate, cert),
  };
}

/** The same for a key alone. */
export function readKeyPem(pem: string): string {
  return toKeyPem(readBytes(pem), pem);
}

function toKeyPem(key: Buffer, file: string): string {
  return isPem(key) ? key.toString('utf8') : keyFromDer(key, file);
}

function readBytes(file: string): Buffer {
  try {
    return readFileSync(file === STDIN ? 0 : file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CellpassError('invalid', `can't read ${nameOf(file)}: ${reason}`, { cause });
  }
}

function isPem(bytes: Buffer): boolean {
  return bytes.includes('-----BEGIN ');
}

const DER_KEYS = ['pkcs8', 'pkcs1', 'sec1'] as const;

function keyFromDer(key: Buffer, file: string): string {
  for (const type of DER_KEYS) {
    try {
      return createPrivateKey({ key, format: 'der', type })
        .export({ format: 'pem', type: 'pkcs8' })
        .toString();
    } catch {
      // Another of the forms.
    }
  }
  throw notDer(file, 'unencrypted private key (PKCS #1, PKCS #8 or SEC 1)');
}

function certificateFromDer(certificate: Buffer, file: string): string {
  try {
    return new X509Certificate(certificate).toString();
  } catch {
    throw notDer(file, 'X.509 certificate');
  }
}

function notDer(file: string, what: string): CellpassError {
  return new CellpassError(
    'invalid',
    `${nameOf(file)} holds no ${what} as PEM or DER; "openssl pkcs12 -nodes" turns a PKCS #12 file into PEM`,
  );
}

function nameOf(file: string): string {
  return file === STDIN ? 'standard input' : file;
}
