import { randomBytes } from 'node:crypto';
import { crc32 } from 'node:zlib';

/**
 * GitLab's routable tokens: secrets that name their cell. The whole string is the secret. Decoding
 * it only helps routing and proves nothing, because anybody can write such a string.
 */

/**
 * Where a token belongs: `c` cell, `o` organization, `g` group, `p` project, `u` user; `t` is a
 * runner's type. GitLab writes the most specific of group, project and user.
 */
export interface Routing {
  readonly c?: bigint;
  readonly o?: bigint;
  readonly g?: bigint;
  readonly p?: bigint;
  readonly u?: bigint;
  readonly t?: bigint;
}

/** In the order of GitLab's encoding. */
const KEYS = ['c', 'g', 'o', 'p', 't', 'u'] as const;
type Key = (typeof KEYS)[number];

/**
 * `damaged`: the secret has the form of a routable token, but a wrong checksum, so nobody issued
 * it.
 */
export type Reading =
  | { readonly kind: 'routable'; readonly prefix: string; readonly routing: Routing }
  | { readonly kind: 'opaque' | 'damaged' };

const OPAQUE: Reading = { kind: 'opaque' };
const VERSION = '01';
/** `head` is prefix and payload; `length` is the length of the payload. */
const FORM =
  /^(?<head>.{0,20}[A-Za-z0-9_-]{27,300})\.(?:(?<version>[0-9a-z]{2})\.)?(?<length>[0-9a-z]{2})(?<crc>[0-9a-z]{7})$/;
const LONGEST_PREFIX = 20;
const PAYLOAD_CHARACTERS = { min: 27, max: 300 };
const RANDOM_BYTES = { min: 16, max: 65 };
const ROUTING_BYTES = { min: 3, max: 159 };
const MAX_LINES = 10;
const CRC_CHARACTERS = 7;
const LENGTH_CHARACTERS = 2;
const RADIX = 36;

/** Decodes a secret. `opaque`: it is not a routable token. */
export function readRoutableToken(secret: string): Reading {
  const parts = FORM.exec(secret)?.groups;
  if (parts === undefined) return OPAQUE;
  const { head = '', version, length = '', crc = '' } = parts;
  const payloadLength = Number.parseInt(length, RADIX);
  const prefixLength = head.length - payloadLength;
  if (payloadLength < PAYLOAD_CHARACTERS.min || payloadLength > PAYLOAD_CHARACTERS.max) return OPAQUE;
  if (prefixLength < 0 || prefixLength > LONGEST_PREFIX) return OPAQUE;
  if (checksum(secret.slice(0, -CRC_CHARACTERS)) !== crc) return { kind: 'damaged' };
  const bytes = Buffer.from(head.slice(prefixLength), 'base64url');
  const text = version === undefined ? oldRouting(bytes) : version === VERSION ? routingOf(bytes) : undefined;
  const routing = text === undefined ? undefined : parseRouting(text);
  return routing === undefined ? OPAQUE : { kind: 'routable', prefix: head.slice(0, prefixLength), routing };
}

/**
 * Generates a secret of version 01. `routing` needs `c`, `o` and the most specific of the others.
 * @param prefix such as `glpat-`, 20 characters at most.
 */
export function mintRoutableToken(prefix: string, routing: Routing): string {
  const text = KEYS.filter((key) => routing[key] !== undefined)
    .map((key) => `${key}:${routing[key]?.toString(RADIX)}`)
    .join('\n');
  const lines = Buffer.from(text, 'ascii');
  const payload = Buffer.concat([randomBytes(RANDOM_BYTES.min), lines, Buffer.of(lines.length)]).toString(
    'base64url',
  );
  const length = payload.length.toString(RADIX).padStart(LENGTH_CHARACTERS, '0');
  const unchecked = `${prefix}${payload}.${VERSION}.${length}`;
  return unchecked + checksum(unchecked);
}

/** The routing in decimal numbers, for people: `c:2,o:1,p:101`. */
export function printRouting(routing: Routing): string {
  return KEYS.filter((key) => routing[key] !== undefined)
    .map((key) => `${key}:${routing[key]}`)
    .join(',');
}

function checksum(text: string): string {
  return crc32(text).toString(RADIX).padStart(CRC_CHARACTERS, '0');
}

/** Version 01: random ‖ routing ‖ length of routing. */
function routingOf(bytes: Buffer): string | undefined {
  const length = bytes.at(-1) ?? 0;
  const random = bytes.length - 1 - length;
  if (!isWithin(random, RANDOM_BYTES) || !isWithin(length, ROUTING_BYTES)) return undefined;
  return bytes.subarray(random, -1).toString('latin1');
}

/** Before version 01: routing ‖ random ‖ length of random. */
function oldRouting(bytes: Buffer): string | undefined {
  const random = bytes.at(-1) ?? 0;
  const length = bytes.length - 1 - random;
  if (!isWithin(random, RANDOM_BYTES) || !isWithin(length, ROUTING_BYTES)) return undefined;
  return bytes.subarray(0, length).toString('latin1');
}

function isWithin(value: number, { min, max }: { readonly min: number; readonly max: number }): boolean {
  return value >= min && value <= max;
}

const LINE = /^(?<key>[a-z]):(?<value>[0-9a-z]{1,13})$/;

/** Undefined if the text is not a routing. Unknown keys are ignored. */
function parseRouting(text: string): Routing | undefined {
  const lines = text.split('\n');
  if (lines.length > MAX_LINES) return undefined;
  const values = new Map<string, bigint>();
  for (const line of lines) {
    const { key, value } = LINE.exec(line)?.groups ?? {};
    if (key === undefined || value === undefined || values.has(key)) return undefined;
    values.set(key, parseBase36(value));
  }
  if (!values.has('c') && !values.has('o')) return undefined;
  return Object.fromEntries([...values].filter(([key]) => isKey(key)));
}

function isKey(key: string): key is Key {
  return KEYS.some((known) => known === key);
}

/** @param text any number of digits of base 36 in lower case. */
export function parseBase36(text: string): bigint {
  let value = 0n;
  for (const digit of text) value = value * BigInt(RADIX) + BigInt(Number.parseInt(digit, RADIX));
  return value;
}
