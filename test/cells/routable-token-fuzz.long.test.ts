import assert from 'node:assert/strict';
import { crc32 } from 'node:zlib';
import { readCredentialForm } from '../../src/cells/credential-form.ts';
import {
  mintRoutableToken,
  printRouting,
  type Routing,
  readRoutableToken,
} from '../../src/cells/routable-token.ts';

const INPUTS = 1_000_000;
const CHARACTERS = 'ABCxyz019-_.+/=:ä \n\u0000~';

/** Mulberry32: the same inputs in every run, so that what fails can be looked at. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const random = createRandom(20_260_101);
const pick = (text: string): string => text.charAt(random(text.length));
const text = (length: number): string => Array.from({ length }, () => pick(CHARACTERS)).join('');

function mutate(token: string): string {
  const at = random(token.length);
  switch (random(5)) {
    case 0:
      return token.slice(0, at) + pick(CHARACTERS) + token.slice(at + 1);
    case 1:
      return token.slice(0, at) + token.slice(at + 1);
    case 2:
      return token.slice(0, at) + text(1 + random(4)) + token.slice(at);
    case 3:
      return token.slice(0, at);
    default:
      return token.slice(at) + token.slice(0, at);
  }
}

/** Any bytes under a checksum that is right, so that what stands behind it is reached. */
function sealed(version: string): string {
  const bytes = Buffer.from(Array.from({ length: 20 + random(60) }, () => random(256)));
  if (random(2) === 0) bytes.write('c:2\no:1', random(bytes.length - 8), 'ascii');
  bytes[bytes.length - 1] = random(80);
  const payload = bytes.toString('base64url');
  const unchecked = `glpat-${payload}.${version}${payload.length.toString(36).padStart(2, '0')}`;
  return unchecked + crc32(unchecked).toString(36).padStart(7, '0');
}

const MAKERS: readonly (() => string)[] = [
  () => text(random(80)),
  () => mutate(TOKENS[random(TOKENS.length)] ?? ''),
  () => mutate(mutate(TOKENS[random(TOKENS.length)] ?? '')),
  () => sealed('01.'),
  () => sealed(''),
  () => `glcbt-${text(random(20))}.${Buffer.from(text(random(40))).toString('base64url')}.${text(4)}`,
];
const TOKENS = Array.from({ length: 100 }, (_, at) =>
  mintRoutableToken(['glpat-', 'gldt-', 'glcbt-', ''][at % 4] ?? '', {
    c: BigInt(at),
    o: 1n,
    u: BigInt(at) ** 9n,
  }),
);

/** A routing of ids as they come, small and large, with its telling part or without. */
function anyRouting(): Routing {
  const id = (): bigint => BigInt(random(2 ** 32)) ** BigInt(1 + random(2));
  const key = (['g', 'p', 'u', 't'] as const)[random(5)];
  return { c: id(), o: id(), ...(key !== undefined && { [key]: id() }) };
}

describe('a million secrets that nobody would choose', () => {
  it('are each read as one of the three kinds, and none throws', function () {
    this.timeout(60_000);
    const counts = { routable: 0, damaged: 0, opaque: 0 };
    for (let made = 0; made < INPUTS; made++) {
      const secret = MAKERS[made % MAKERS.length]?.() ?? '';
      counts[readRoutableToken(secret).kind] += 1;
      readCredentialForm({ username: 'gitlab-ci-token', password: secret });
    }
    assert.equal(counts.routable + counts.damaged + counts.opaque, INPUTS);
    // Each way through the reader was taken.
    for (const [kind, count] of Object.entries(counts)) assert.ok(count > 100, `${kind}: ${count}`);
  });

  it('are told apart from what was minted, which reads as what it was made of', function () {
    this.timeout(60_000);
    for (let made = 0; made < INPUTS / 10; made++) {
      const [prefix, routing] = [['glpat-', 'gldt-', 'glcbt-', ''][random(4)] ?? '', anyRouting()];
      const token = mintRoutableToken(prefix, routing);
      const reading = readRoutableToken(token);
      // Compared by hand: a deep comparison takes a hundred times as long.
      assert.equal(reading.kind, 'routable');
      if (reading.kind !== 'routable') return;
      assert.equal(
        `${reading.prefix} ${printRouting(reading.routing)}`,
        `${prefix} ${printRouting(routing)}`,
      );
    }
  });
});
