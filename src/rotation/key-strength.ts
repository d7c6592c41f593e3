import { checkPrimeSync, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { CellpassError } from '../errors.ts';

/**
 * Checks of imported private keys. OpenSSL reads keys that anybody can break, or whose halves do not
 * belong together; a generated key needs no such check.
 */

/** @throws {CellpassError} `invalid`, with the check that failed. */
export function refuseWeakKey(privateKey: KeyObject): void {
  if (privateKey.asymmetricKeyType === 'rsa') refuseWeakRsa(readRsa(privateKey));
  const probe = Buffer.from('cellpass');
  if (!verify('sha256', probe, createPublicKey(privateKey), sign('sha256', probe, privateKey))) {
    throw invalid('its private half does not fit its public half: a signature did not verify');
  }
}

/** RFC 8017 section 3.2, all numbers. */
interface RsaNumbers {
  readonly n: bigint;
  readonly e: bigint;
  readonly d: bigint;
  readonly p: bigint;
  readonly q: bigint;
}

function readRsa(privateKey: KeyObject): RsaNumbers {
  const { n, e, d, p, q } = privateKey.export({ format: 'jwk' });
  return { n: toNumber(n), e: toNumber(e), d: toNumber(d), p: toNumber(p), q: toNumber(q) };
}

function toNumber(base64url: string | undefined): bigint {
  const hex = Buffer.from(base64url ?? '', 'base64url').toString('hex');
  return hex === '' ? 0n : BigInt(`0x${hex}`);
}

/** FIPS 186-5 section A.1.1: the smallest public exponent, and how close the primes may be. */
const LEAST_EXPONENT = 65_537n;
const CLOSE_BITS = 100;
const SMALL_PRIMES_BELOW = 65_536;

function refuseWeakRsa({ n, e, d, p, q }: RsaNumbers): void {
  if (e < LEAST_EXPONENT || e % 2n === 0n) {
    throw invalid(`its public exponent is ${e}: it must be ${LEAST_EXPONENT} or a larger odd number`);
  }
  const factor = smallPrimes().find((prime) => n % prime === 0n);
  if (factor !== undefined) throw invalid(`its modulus has the small factor ${factor}`);
  if (p * q !== n) {
    throw invalid(
      'its private half does not fit its public half: the modulus is not the product of its primes',
    );
  }
  if (!checkPrimeSync(p) || !checkPrimeSync(q)) throw invalid('its factors are not prime');
  const distance = p > q ? p - q : q - p;
  if (distance >> BigInt(Math.floor(n.toString(2).length / 2) - CLOSE_BITS) === 0n) {
    throw invalid('its primes are so close to each other that the modulus can be factored');
  }
  if ((e * d) % (p - 1n) !== 1n || (e * d) % (q - 1n) !== 1n) {
    throw invalid('its private half does not fit its public half: the exponents do not match');
  }
}

/** The sieve of Eratosthenes. */
function smallPrimes(): readonly bigint[] {
  const isComposite = new Uint8Array(SMALL_PRIMES_BELOW);
  const primes: bigint[] = [];
  for (let number = 2; number < SMALL_PRIMES_BELOW; number++) {
    if (isComposite[number] === 1) continue;
    primes.push(BigInt(number));
    for (let multiple = number * number; multiple < SMALL_PRIMES_BELOW; multiple += number) {
      isComposite[multiple] = 1;
    }
  }
  return primes;
}

function invalid(problem: string): CellpassError {
  return new CellpassError('invalid', `the key can't be used: ${problem}. Generate another one.`);
}
