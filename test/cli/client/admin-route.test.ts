import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { routeToAdmin } from '../../../src/cli/client/admin-route.ts';
import { CellpassError } from '../../../src/errors.ts';

const TOKEN = `cpat-${'A'.repeat(43)}`;

describe('the way to the admin API', () => {
  const warnings: string[] = [];
  beforeEach(() => {
    warnings.length = 0;
  });
  const route = (adminUrl: string | undefined, environment: Record<string, string> = {}) =>
    routeToAdmin(
      { environment, stdout: () => undefined, stderr: (text) => warnings.push(text) },
      adminUrl === undefined ? {} : { adminUrl },
    );
  const refusal = (adminUrl: string, token: string | undefined): string => {
    try {
      route(adminUrl, token === undefined ? {} : { CELLPASS_ADMIN_TOKEN: token });
    } catch (error) {
      assert.ok(error instanceof CellpassError);
      assert.equal(error.code, 'invalid');
      return error.message;
    }
    return assert.fail('it is taken');
  };

  it('is the socket in the data directory, to which no token is shown', () => {
    const { connect, headers } = route(undefined, { CELLPASS_DATA_DIR: '/d', CELLPASS_ADMIN_TOKEN: TOKEN });
    assert.deepEqual(connect, { socketPath: '/d/admin.sock' });
    assert.deepEqual(
      headers.map(([name]) => name),
      ['Cellpass-Actor'],
    );
  });

  const taken: [url: string, base: string][] = [
    ['https://admin.example.com', 'https://admin.example.com'],
    ['https://admin.example.com:9000/', 'https://admin.example.com:9000'],
    ['https://example.com/cellpass/', 'https://example.com/cellpass'],
    ['http://127.0.0.1:9000', 'http://127.0.0.1:9000'],
    ['http://[::1]:9000', 'http://[::1]:9000'],
    ['http://localhost:9000', 'http://localhost:9000'],
  ];
  for (const [url, base] of taken) {
    it(`is ${url}, with the token alone`, () => {
      const { baseUrl, connect, headers } = route(url, { CELLPASS_ADMIN_TOKEN: `${TOKEN}\n` });
      assert.deepEqual([baseUrl, connect], [base, {}]);
      assert.deepEqual(headers, [['Authorization', `Bearer ${TOKEN}`]]);
    });

    const isPlain = url.startsWith('http:');
    it(`is ${url}, ${isPlain ? 'with a warning that another user may listen there' : 'without a warning'}`, () => {
      route(url, { CELLPASS_ADMIN_TOKEN: TOKEN });
      assert.equal(warnings.length, isPlain ? 1 : 0);
      for (const warning of warnings) assert.match(warning, /not encrypted.*another user/);
    });
  }

  const unsafe = [
    'http://admin.example.com',
    'http://10.0.0.1:9000',
    'http://[2001:db8::1]:9000',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'ftp://127.0.0.1',
    'https://user:password@admin.example.com',
    'https://admin.example.com?x=y',
    '127.0.0.1:9000',
    '',
  ];
  for (const url of unsafe) {
    it(`is not ${url || 'nothing'}`, () => assert.match(refusal(url, TOKEN), /^--admin-url/));
  }

  it('names CELLPASS_ADMIN_URL where the URL comes from it', () => {
    for (const environment of [
      { CELLPASS_ADMIN_URL: 'http://10.0.0.1:9000' },
      { CELLPASS_ADMIN_URL: 'nonsense' },
      { CELLPASS_ADMIN_URL: 'https://admin.example.com' },
    ])
      assert.throws(() => route(undefined, environment), { message: /^CELLPASS_ADMIN_URL(:| needs)/ });
  });

  it('reads the token from the file that CELLPASS_ADMIN_TOKEN_FILE names', () => {
    const folder = mkdtempSync(join(tmpdir(), 'cellpass-admin-token-'));
    const file = join(folder, 'token');
    const url = 'https://admin.example.com';
    try {
      writeFileSync(file, `${TOKEN}\n`);
      assert.deepEqual(route(url, { CELLPASS_ADMIN_TOKEN_FILE: file }).headers, [
        ['Authorization', `Bearer ${TOKEN}`],
      ]);
      assert.throws(
        () => route(url, { CELLPASS_ADMIN_TOKEN_FILE: file, CELLPASS_ADMIN_TOKEN: TOKEN }),
        /CELLPASS_ADMIN_TOKEN_FILE: is set together with CELLPASS_ADMIN_TOKEN/,
      );
      assert.throws(
        () => route(url, { CELLPASS_ADMIN_TOKEN_FILE: join(folder, 'none') }),
        /CELLPASS_ADMIN_TOKEN_FILE: can't be read/,
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('needs a token from the environment, and shows nothing of it', () => {
    for (const token of [undefined, '', ' \n']) {
      assert.match(refusal('https://admin.example.com', token), /CELLPASS_ADMIN_TOKEN.*admin-token create/);
    }
    for (const token of ['glpat-secret', `${TOKEN}x`, `${TOKEN}\nX-Evil: y`]) {
      const message = refusal('https://admin.example.com', token);
      assert.match(message, /CELLPASS_ADMIN_TOKEN/);
      assert.doesNotMatch(message, /secret|AAAA|Evil/);
    }
  });
});
