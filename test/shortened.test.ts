import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { assert as check, constantFrom, integer, property, string, tuple } from 'fast-check';
import request from 'supertest';
import { createProgram } from '../src/cli/program.ts';
import { loadConfig } from '../src/config/load.ts';
import { checkDirectory } from '../src/directory/check.ts';
import { CellpassError, printProblem } from '../src/errors.ts';
import { shortened } from '../src/shortened.ts';
import { startTestServer, type TestServer } from './support/server.ts';

const MOST = 300;
/** Long, of one kind of characters. */
const UGLY: readonly string[] = [
  'a'.repeat(5000),
  'long name '.repeat(500),
  '\u{1f980}'.repeat(2000),
  'x\u{1f980}'.repeat(2000),
  '"'.repeat(3000),
  `"${'\\" '.repeat(900)}`,
  '/'.repeat(3000),
  'acme/'.repeat(900),
  "'; DROP TABLE users; --".repeat(100),
  '\u202e\u0007\u001b[2J'.repeat(500),
  `${'a'.repeat(299)}: ${'b'.repeat(299)}`,
  '%00'.repeat(1000),
];
const ugly = constantFrom(...UGLY);
const anyText = string({ unit: 'grapheme', maxLength: 2000, size: 'max' });
const OPTIONS = { numRuns: 200, seed: 20261127 };

describe('a message that repeats values', () => {
  it('has at most 300 characters, and stays the same when it is cut again', () => {
    check(
      property(tuple(anyText, ugly, anyText), integer({ min: 20, max: 400 }), (parts, most) => {
        const short = shortened(parts.join(' '), most);
        assert.ok(short.length <= most, String(short.length));
        assert.equal(shortened(short, most), short);
        assert.doesNotMatch(short, /\p{Cs}/u);
      }),
      OPTIONS,
    );
  });

  it('keeps a short message as it is', () => {
    check(
      property(string({ maxLength: MOST }), (text) => {
        if (text.length <= MOST) assert.equal(shortened(text), text);
      }),
      OPTIONS,
    );
  });

  for (const value of ['a'.repeat(9000), `"${'b c '.repeat(900)}"`]) {
    it(`keeps the sentence around a value such as ${value.slice(0, 8)}`, () => {
      const short = shortened(`there is no user ${value} in this group: add it first`);
      assert.match(short, /^there is no user .*… ?.* in this group: add it first$/);
    });
  }

  const SHORT_VALUES = [
    'CELLPASS_KEYS.rotate_every_days',
    '/srv/cellpass/site-a/keys/master.key',
    'acme/web',
  ];
  for (const long of [65, 100, 200, 9000]) {
    it(`cuts a value of ${long} characters before the shorter ones beside it`, () => {
      const message = `${SHORT_VALUES.join(' ')} ${'0'.repeat(long)} ${'says what to do '.repeat(8)}`;
      const short = shortened(message);
      assert.ok(short.length <= MOST);
      for (const value of SHORT_VALUES) assert.ok(short.includes(value), short);
      assert.ok(short.endsWith('says what to do '));
    });
  }

  it('cuts no more than it must', () => {
    const short = shortened(`line 1 of ${'/folder'.repeat(40)}/cellpass.yaml: say so`);
    assert.ok(short.length >= MOST - 1, String(short.length));
  });

  it('is cut by the error itself, with its problems', () => {
    for (const value of UGLY) {
      const problem = { path: `users.${value}`, message: `is ${value}` };
      assert.ok(new CellpassError('invalid', `there is no ${value}`).message.length <= MOST);
      const { problems = [] } = new CellpassError('invalid', 'wrong', { problems: [problem] }).details;
      for (const { path, message } of problems) assert.ok(path.length <= MOST && message.length <= MOST);
      assert.ok(printProblem(problem).length <= MOST);
    }
  });
});

describe('no error message is longer than 300 characters', () => {
  let folder: string;
  let server: TestServer;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'cellpass-ugly-'));
    server = await startTestServer();
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await server.close();
  });
  const file = (content: object): string => {
    writeFileSync(join(folder, 'file.yaml'), JSON.stringify(content));
    return join(folder, 'file.yaml');
  };

  it('of a setting', () => {
    const environments = (value: string): Record<string, string>[] => [
      ...['LISTEN', 'TRUSTED_PROXIES', 'DATABASE_URL', 'LOG_LEVEL', 'CONFIG', 'DATABASE_URL_FILE'].map(
        (name) => ({ [`CELLPASS_${name}`]: value.replaceAll('\0', '') }),
      ),
      { CELLPASS_CONFIG: file({ [value]: 1 }) },
      { CELLPASS_CONFIG: file({ services: { s: { [value]: 1 } } }) },
      { CELLPASS_CONFIG: file({ registries: [{ name: value, url: value, service: value, trusts: value }] }) },
      { CELLPASS_CONFIG: file({ registries: [{ name: 'r', url: 'https://r.example', service: value }] }) },
      { CELLPASS_CONFIG: file({ database_url: `postgresql://db/c?target_session_attrs=x${value}` }) },
    ];
    for (const environment of UGLY.flatMap(environments)) {
      let message = '';
      try {
        loadConfig(environment);
      } catch (error) {
        message = `cellpass: ${error instanceof Error ? error.message : ''}`;
      }
      for (const line of message.split('; ')) assert.ok(line.length <= MOST, line);
    }
  });

  it('of a directory document', () => {
    for (const value of UGLY) {
      const documents = [
        { version: 1, [value]: [] },
        { version: 1, users: [{ username: value }, { username: 'a', organization: value, [value]: 1 }] },
        { version: 1, users: [], groups: [{ path: 'g', members: [{ user: value, role: value }] }] },
        { version: 1, groups: [], projects: [{ path: `${value}/p`.replaceAll('//', '/') }] },
        { version: 1, projects: [{ path: 'a/b', protected_tags: [{ pattern: value }] }] },
        { version: 1, federated_identities: [{ name: 'n', issuer: value, claims: { [value]: value } }] },
      ].map((document) => JSON.stringify(document));
      for (const text of [...documents, value, `a: ${value}`, `a: !${value} b`, `a: *${value}`]) {
        for (const problem of checkDirectory(text).problems) {
          assert.ok(problem.message.length <= MOST && problem.path.length <= MOST, problem.message);
          assert.ok(printProblem(problem).length <= MOST);
        }
      }
    }
  });

  it('of the command line', async () => {
    for (const value of UGLY) {
      for (const args of [
        [value],
        ['keys', value],
        ['keys', 'list', `--${value}`],
        ['audit', '--limit', value],
      ]) {
        let stderr = '';
        const terminal = {
          environment: {},
          stdout: () => undefined,
          stderr: (text: string) => (stderr += text),
        };
        await assert.rejects(createProgram(terminal, '0').parseAsync(args, { from: 'user' }));
        for (const line of stderr.split('\n')) assert.ok(line.length <= MOST, line);
      }
    }
  });

  it('of the token endpoint and of the admin API', async () => {
    for (const value of UGLY) {
      const answers = [
        await request(server.app)
          .get('/jwt/auth')
          .query({ service: value.slice(0, 1500) }),
        await request(server.app)
          .get('/jwt/auth')
          .query({ service: 'container_registry', scope: value.slice(0, 1500) }),
        await request(server.admin)
          .post('/admin/v1/explain')
          .send({ as: `user:${value}`, scopes: [value] }),
        await request(server.admin)
          .post('/admin/v1/explain')
          .send({ as: value, scopes: [], [value]: 1, ip: value }),
        await request(server.admin)
          .post('/admin/v1/explain')
          .send({ as: 'anonymous', scopes: [], ip: value }),
        await request(server.admin)
          .get('/admin/v1/tokens')
          .query({ [value.slice(0, 1000)]: 1, user: value.slice(0, 1000) }),
        await request(server.admin)
          .post('/admin/v1/tokens')
          .send({ kind: 'personal', user: value, scopes: [value] }),
        await request(server.admin).post('/admin/v1/keys/retire').send({ kid: value }),
        await request(server.admin)
          .post('/admin/v1/directory/changes')
          .send({ action: 'user_block', user: value }),
      ];
      for (const { status, body } of answers) {
        const { errors = [], problems = [] } = body ?? {};
        assert.ok(status < 500, `${status} ${JSON.stringify(body)}`);
        for (const { message } of [...errors, ...problems]) assert.ok(message.length <= MOST, message);
      }
    }
  });
});
