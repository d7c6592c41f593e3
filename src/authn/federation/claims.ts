import { createHash } from 'node:crypto';
import { type ClaimPin, type ClaimPins, pinOf } from '../../config/federated-claims.ts';
import { isMapping } from '../../mapping.ts';

/** The claims of an ID token, verified or not. */
export type IdTokenClaims = Readonly<Record<string, unknown>>;

/**
 * The text of a claim; null: there is none, or it is no text. A number counts as its decimal text
 * if it is a safe integer; lists and objects never match.
 * @param path tried as the exact name first, then member by member with the longest name first:
 * `kubernetes.io.serviceaccount.uid` is `{"kubernetes.io": {"serviceaccount": {"uid": …}}}`.
 */
export function claimText(claims: IdTokenClaims, path: string): string | null {
  const value = valueAt(claims, path);
  if (typeof value === 'string') return value;
  return typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : null;
}

function valueAt(value: unknown, path: string): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const own = (name: string): unknown => (Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined);
  const exact = own(path);
  if (exact !== undefined) return exact;
  for (let dot = path.lastIndexOf('.'); dot > 0; dot = path.lastIndexOf('.', dot - 1)) {
    const member = own(path.slice(0, dot));
    const found = valueAt(member, path.slice(dot + 1));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The first claim, in the order of the identity, that is not as it demands; null: all are. */
export function firstMismatch(pins: ClaimPins, claims: IdTokenClaims): string | null {
  const names = Object.keys(pins);
  // Nothing pinned would match everything.
  if (names.length === 0) return '';
  return names.find((name) => !isAsPinned(pins[name], claimText(claims, name))) ?? null;
}

/** How many of the claims are as the identity demands. */
export function countMatches(pins: ClaimPins, claims: IdTokenClaims): number {
  return Object.keys(pins).filter((name) => isAsPinned(pins[name], claimText(claims, name))).length;
}

function isAsPinned(pin: ClaimPin | undefined, text: string | null): boolean {
  if (pin === undefined || text === null || text === '') return false;
  if (typeof pin === 'string') return pin === text;
  if (isPrefix(pin)) return pin.prefix !== '' && text.startsWith(pin.prefix);
  return pin.includes(text);
}

function isPrefix(pin: ClaimPin): pin is { readonly prefix: string } {
  return typeof pin === 'object' && 'prefix' in pin;
}

/**
 * Whether a token could match both, so that neither would be accepted: no claim that both pin has
 * values that exclude each other.
 */
export function overlap(one: ClaimPins, other: ClaimPins): boolean {
  return Object.keys(one).every((name) => {
    const [a, b] = [pinOf(one, name), pinOf(other, name)];
    return a === undefined || b === undefined || canBeEqual(a, b);
  });
}

function canBeEqual(a: ClaimPin, b: ClaimPin): boolean {
  if (isPrefix(a) && isPrefix(b)) return a.prefix.startsWith(b.prefix) || b.prefix.startsWith(a.prefix);
  if (isPrefix(a)) return canBeEqual(b, a);
  if (typeof a === 'string') return isAsPinned(b, a);
  if (typeof b === 'string') return isAsPinned(a, b);
  if (isPrefix(b)) return a.some((text) => isAsPinned(b, text));
  const texts = new Set(a);
  return b.some((text) => texts.has(text));
}

/**
 * Claims that tell many identities of one issuer apart, the best first; others come after these, and
 * claims that all identities of a company share come last.
 */
const TELLING = [
  'sub',
  'repository_id',
  'project_id',
  'oidc.circleci.com/project-id',
  'pipeline_id',
  'pipeline_slug',
];
const COMMON = [
  'organization_id',
  'organization_slug',
  'repository_owner_id',
  'namespace_id',
  'ref',
  'environment',
];
/** The look-up key of an identity that pins no whole value. */
const ANY_TOKEN = '*';

/**
 * The keys under which an identity is looked up: those of one claim that it pins. Whatever token
 * matches the identity has one of them among its own (`keysOfToken`).
 */
export function keysOfIdentity(pins: ClaimPins): readonly string[] {
  const whole = Object.entries(pins).flatMap(([name, pin]) => (isPrefix(pin) ? [] : [{ name, pin }]));
  const rank = (name: string): number => {
    const telling = TELLING.indexOf(name);
    if (telling >= 0) return telling;
    return TELLING.length + 1 + COMMON.indexOf(name);
  };
  const [first] = whole.toSorted((a, b) => rank(a.name) - rank(b.name));
  if (first === undefined) return [ANY_TOKEN];
  const texts = typeof first.pin === 'string' ? [first.pin] : first.pin;
  return texts.map((text) => keyOf(first.name, text));
}

/** The keys of all identities that a token may match, and perhaps some more. */
export function keysOfToken(claims: IdTokenClaims): readonly string[] {
  const keys = new Set<string>([ANY_TOKEN]);
  const visit = (value: unknown, path: string): void => {
    if (isMapping(value)) {
      for (const [name, member] of Object.entries(value)) visit(member, `${path}.${name}`);
      return;
    }
    if (typeof value === 'string' || typeof value === 'number') keys.add(keyOf(path, String(value)));
  };
  for (const [name, value] of Object.entries(claims)) visit(value, name);
  return [...keys];
}

/** 132 bits of a digest, so that each key of the index is short. */
const KEY_CHARACTERS = 22;

function keyOf(path: string, text: string): string {
  return createHash('sha256')
    .update(JSON.stringify([path, text]))
    .digest('base64url')
    .slice(0, KEY_CHARACTERS);
}
