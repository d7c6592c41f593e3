import assert from 'node:assert/strict';
import { httpUrl } from '../../src/config/http-url.ts';

describe('a base URL', () => {
  const TAKEN: readonly (readonly [text: string, url: string])[] = [
    ['https://auth.example.com', 'https://auth.example.com'],
    ['https://auth.example.com//', 'https://auth.example.com'],
    ['HTTP://Auth.Example.com:8080/a/b@c/', 'HTTP://Auth.Example.com:8080/a/b@c'],
    ['http://[::1]:5000', 'http://[::1]:5000'],
    ['https://münchen.example/ü', 'https://münchen.example/ü'],
  ];
  for (const [text, url] of TAKEN) {
    it(`is ${url} in ${text}`, () => assert.equal(httpUrl.parse(text), url));
  }

  const REFUSED = [
    '',
    'auth.example.com',
    'ftp://auth.example.com',
    'https:auth.example.com',
    'https:///auth.example.com',
    'https://',
    'https://a b',
    'https://a:99999',
    'https://user@a',
    'https://user:secret@a',
    'https://@a',
    'https://:@a',
    'https://a?',
    'https://a?x=1',
    'https://a/#',
    'https://a#',
    'https://a\\b',
    'https:\\\\a',
    ' https://a',
    'https://a ',
    'https://a\n',
    'https://a/b c',
    'https://a\tb',
  ];
  for (const text of REFUSED) {
    it(`is not ${JSON.stringify(text)}`, () => {
      const { error } = httpUrl.safeParse(text);
      assert.match(
        error?.issues[0]?.message ?? '',
        /^must be an http\(s\) URL without user, query and fragment/,
      );
    });
  }
});
