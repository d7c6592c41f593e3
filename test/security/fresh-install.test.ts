import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import request from 'supertest';
import { parse } from 'yaml';
import { startTestServer, type TestServer } from '../support/server.ts';

type Login = readonly [username: string, password: string];

interface Example {
  readonly users: readonly { readonly username: string; readonly password?: string }[];
  readonly access_tokens: readonly { readonly token: string }[];
  readonly deploy_tokens: readonly { readonly username: string; readonly token: string }[];
  readonly job_tokens: readonly { readonly token: string }[];
}

const EXAMPLE: Example = parse(readFileSync(new URL('../../examples/acme.yaml', import.meta.url), 'utf8'));

/** Default logins of other servers, past and present. */
const DEFAULTS: readonly Login[] = ['admin', 'root', 'cellpass'].flatMap((name) =>
  ['', name, 'password', '5iveL!fe', 'Harbor12345', 'badmin'].map((password): Login => [name, password]),
);

/** Every login of the public example document. */
const EXAMPLES: readonly Login[] = [
  ...EXAMPLE.users.flatMap(({ username, password }): Login[] => (password ? [[username, password]] : [])),
  ...EXAMPLE.access_tokens.map(({ token }): Login => ['anybody', token]),
  ...EXAMPLE.deploy_tokens.map(({ username, token }): Login => [username, token]),
  ...EXAMPLE.job_tokens.map(({ token }): Login => ['gitlab-ci-token', token]),
];

describe('security check 5: a fresh installation', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer();
  });
  after(() => server.close());

  /**
   * Each attempt comes from a new address, so that it reaches the look-up and not the limit on
   * attempts.
   */
  let address = 0;
  const answerTo = async (as: Login): Promise<number> => {
    address++;
    const ip = `203.0.${address >> 8}.${address & 255}`;
    return (await server.ask({ as, scope: 'registry:catalog:*', ip })).status;
  };

  it('security check 5: has no users and no secrets', async () => {
    const { text } = await request(server.admin).get('/admin/v1/directory').buffer().expect(200);
    const { users = [], access_tokens = [], deploy_tokens = [], job_tokens = [] } = parse(text);
    assert.deepEqual([users, access_tokens, deploy_tokens, job_tokens], [[], [], [], []]);
    const tokens = await request(server.admin).get('/admin/v1/tokens').expect(200);
    assert.deepEqual(tokens.body.tokens, []);
    const { body } = await request(server.admin).get('/admin/v1/admin-tokens').expect(200);
    assert.deepEqual(body.admin_tokens, []);
  });

  it('security check 5: has no row in any table that holds secrets', async () => {
    const columns = await server.database.query(
      `SELECT table_name FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name)
        WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND column_name ~ 'digest|password_hash|secret'`,
    );
    const tables = [...new Set(columns.map(({ table_name }) => String(table_name)))];
    for (const known of ['users', 'access_tokens', 'deploy_tokens', 'job_tokens']) {
      assert.ok(tables.includes(known), known);
    }
    for (const table of tables) {
      assert.deepEqual(await server.database.query(`SELECT 1 FROM "${table}" LIMIT 1`), [], table);
    }
  });

  it('security check 5: refuses the default logins of other servers and the logins of the examples', async () => {
    assert.ok(EXAMPLES.length > 5);
    const admitted: Login[] = [];
    for (const login of [...DEFAULTS, ...EXAMPLES]) {
      if ((await answerTo(login)) !== 401) admitted.push(login);
    }
    assert.deepEqual(admitted, []);
  });

  it('security check 5: grants nothing to an anonymous client', async () => {
    for (const scope of [
      'repository:acme/web:pull',
      'registry:catalog:*',
      'repository:a/b:pull,push,delete,*',
    ]) {
      await server.ask({ scope }).expect(403);
    }
  });

  it('security check 5: the same logins work once the example is applied, so the test would notice them', async () => {
    await server.apply(readFileSync(new URL('../../examples/acme.yaml', import.meta.url), 'utf8'));
    const statuses = await Promise.all(EXAMPLES.map(answerTo));
    assert.ok(statuses.some((status) => status === 200));
  });

  it('security check 5: has no default for a secret in Compose, and no value in its example', () => {
    const read = (name: string): string =>
      readFileSync(new URL(`../../deploy/${name}`, import.meta.url), 'utf8');
    const variables = read('compose.yaml').match(/\$\{[^}]*\}/g) ?? [];
    assert.ok(variables.length >= 5);
    for (const variable of variables) assert.match(variable, /^\$\{[A-Z_]+:\?[^}]+\}$/);
    const names = new Set(variables.map((variable) => variable.slice(2, variable.indexOf(':'))));
    const settings = read('env.example')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith('#'));
    assert.deepEqual(new Set(settings), new Set([...names].map((name) => `${name}=`)));
  });
});
