import assert from 'node:assert/strict';
import { parseBasic } from '../../src/authn/basic.ts';
import { CellpassError } from '../../src/errors.ts';

const encode = (text: string | Uint8Array): string =>
  `Basic ${Buffer.from(text as string).toString('base64')}`;

describe('Authorization: Basic (RFC 7617)', () => {
  const accepted: [what: string, header: string | undefined, expected: ReturnType<typeof parseBasic>][] = [
    ['no header is nobody', undefined, null],
    ['an empty header is nobody', '', null],
    ['another scheme is nobody', 'Bearer abc', null],
    ['a scheme that only starts alike is nobody', 'Basically abc', null],
    ['empty:empty is nobody', 'Basic Og==', null],
    ['name and password', encode('alice:secret'), { username: 'alice', password: 'secret' }],
    [
      'the scheme in any case',
      encode('alice:s').replace('Basic', 'bAsIc'),
      { username: 'alice', password: 's' },
    ],
    ['the password keeps its colons', encode('alice:a:b:'), { username: 'alice', password: 'a:b:' }],
    ['an empty name with a secret is an attempt', encode(':secret'), { username: '', password: 'secret' }],
    ['an empty password is an attempt', encode('alice:'), { username: 'alice', password: '' }],
    ['UTF-8', encode('ålice:pässwörd €'), { username: 'ålice', password: 'pässwörd €' }],
    ['a byte order mark is part of the name', encode('\ufeffa:b'), { username: '\ufeffa', password: 'b' }],
    ['+ & % are themselves', encode('a+b:c&d%20'), { username: 'a+b', password: 'c&d%20' }],
    ['padding may be missing', encode('a:bc').replace(/=+$/, ''), { username: 'a', password: 'bc' }],
  ];
  for (const [what, header, expected] of accepted) {
    it(what, () => assert.deepEqual(parseBasic(header), expected));
  }

  const refused: [what: string, header: string, reason?: string][] = [
    ['no credentials at all', 'Basic'],
    ['only spaces', 'Basic   '],
    ['not base64', 'Basic !!!!'],
    ['the alphabet of base64url', 'Basic a_b-'],
    ['no colon', encode('alice')],
    ['invalid UTF-8', encode(new Uint8Array([0x61, 0x3a, 0xff, 0xfe])), 'not_utf8'],
    ['Latin-1', encode(Buffer.from('alice:pässwörd', 'latin1')), 'not_utf8'],
    ['a name in Latin-1', encode(Buffer.from('åsa:secret', 'latin1')), 'not_utf8'],
    ['UTF-16', encode(Buffer.from('alice:pässwörd', 'utf16le')), 'not_utf8'],
    ['Latin-1 without a colon', encode(Buffer.from('pässwörd', 'latin1')), 'malformed_basic'],
    ['a NUL in the name', encode('al\0ice:secret'), 'malformed_credentials'],
    ['a NUL in the password', encode('alice:sec\0ret')],
    ['a line feed', encode('alice:sec\nret')],
    ['DEL', encode('alice:sec\x7fret')],
    ['a replacement character, which hides what stood there', encode('alice:sec\ufffdret'), 'not_utf8'],
    ['two credentials', `${encode('a:b')} ${encode('c:d').slice(6)}`],
  ];
  for (const [what, header, reason] of refused) {
    it(`is refused with ${what}${reason === undefined ? '' : `, for the reason ${reason}`}`, () =>
      assert.throws(
        () => parseBasic(header),
        (error) =>
          error instanceof CellpassError &&
          error.code === 'unauthorized' &&
          (reason === undefined || error.reason === reason),
      ));
  }
});
