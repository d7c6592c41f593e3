const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const LOWEST = '00000000-0000-0000-0000-000000000000';
const HIGHEST = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

/** The shortest prefix that a search takes, in characters. */
export const SHORTEST_PREFIX = 8;

/** Whether the text is a whole UUID (RFC 9562 §4), in either case. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

/** Whether the text is the beginning of a UUID, or a whole one. Tables show such prefixes. */
export function isUuidPrefix(text: string): boolean {
  return text.length >= SHORTEST_PREFIX && isUuid(text + LOWEST.slice(text.length));
}

/** The lowest and the highest UUID with this prefix: PostgreSQL orders UUIDs by their digits. */
export function uuidsWithPrefix(prefix: string): readonly [lowest: string, highest: string] {
  return [prefix + LOWEST.slice(prefix.length), prefix + HIGHEST.slice(prefix.length)];
}
