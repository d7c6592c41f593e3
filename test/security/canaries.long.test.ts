import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { type AdminApi, openAdminApi } from '../support/admin-api.ts';
import { type Relay, startRelay } from '../support/database/relay.ts';
import { until } from '../support/processes/child.ts';
import { makeSite, type Server, type Site } from '../support/processes/site.ts';
import { type Canary, createSinks, dumpOf, newCanary } from './fixtures/canaries.ts';

const SECRETS = {
  password: newCanary('a password'),
  otherPassword: newCanary('the password of a blocked user'),
  personal: newCanary('a personal access token', 'glpat-'),
  project: newCanary('a project access token', 'glpat-'),
  revoked: newCanary('a revoked access token', 'glpat-'),
  deploy: newCanary('a deploy token', 'gldt-'),
  job: newCanary('a job token', 'glcbt-'),
  putJob: newCanary('a job token that CI puts', 'glcbt-'),
  wrong: newCanary('what somebody tried as a password'),
  wrongToken: newCanary('what somebody tried as a token', 'glpat-'),
  database: newCanary('the password of the database'),
  misplaced: newCanary('a secret in a document that is refused', 'glpat-'),
  admin: newCanary('an admin token in the environment'),
} as const satisfies Record<string, Canary>;

const DIRECTORY = {
  version: 1,
  users: [
    { username: 'alice', id: 11, password: SECRETS.password.secret },
    { username: 'mallory', id: 12, state: 'blocked', password: SECRETS.otherPassword.secret },
  ],
  groups: [{ path: 'acme', members: [{ user: 'alice', role: 'developer' }] }],
  projects: [{ path: 'acme/app', id: 101 }],
  access_tokens: [
    { name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: SECRETS.personal.secret },
    {
      name: 'p',
      kind: 'project',
      project: 'acme/app',
      role: 'developer',
      scopes: ['api'],
      token: SECRETS.project.secret,
    },
    {
      name: 'r',
      kind: 'personal',
      user: 'alice',
      scopes: ['api'],
      revoked: true,
      token: SECRETS.revoked.secret,
    },
  ],
  deploy_tokens: [
    { username: 'puller', scopes: ['read_registry'], projects: ['acme/app'], token: SECRETS.deploy.secret },
  ],
  job_tokens: [{ project: 'acme/app', user: 'alice', token: SECRETS.job.secret }],
};

const ATTEMPTS: readonly (readonly [username: string, canary: Canary])[] = [
  ['alice', SECRETS.password],
  ['mallory', SECRETS.otherPassword],
  ['any', SECRETS.personal],
  ['any', SECRETS.project],
  ['any', SECRETS.revoked],
  ['puller', SECRETS.deploy],
  ['another', SECRETS.deploy],
  ['gitlab-ci-token', SECRETS.job],
  ['gitlab-ci-token', SECRETS.personal],
  ['alice', SECRETS.wrong],
  ['alice', SECRETS.wrongToken],
  // Some people type their password into the user name field.
  [SECRETS.wrong.secret, SECRETS.wrong],
  [SECRETS.personal.secret, SECRETS.wrong],
];

/** Documents with a mistake next to a secret. */
const WRONG_DOCUMENTS: readonly string[] = [
  `version: 1\naccess_tokens:\n  - {name: x, kind: personal, user: nobody, scopes: [api], token: ${SECRETS.misplaced.secret}}\n`,
  `version: 1\naccess_tokens:\n  - {name: x, kind: none, user: alice, scopes: [api], token: ${SECRETS.misplaced.secret}}\n`,
  `version: 1\nusers:\n  - {username: alice, password: [${SECRETS.misplaced.secret}]}\n`,
  `version: 1\nusers:\n  - {username: alice, passwort: ${SECRETS.misplaced.secret}}\n`,
  `version: 1\nusers:\n  - {username: alice, password: ${SECRETS.misplaced.secret}, password_hash: ${SECRETS.misplaced.secret}}\n`,
  `version: 1\nusers:\n  - {username: alice, password_hash: ${SECRETS.misplaced.secret}}\n`,
  `version: 1\nusers: [{username: alice, password: "${SECRETS.misplaced.secret}}\n`,
  `version: 1\naccess_tokens:\n  - name: x\n    token: ${SECRETS.misplaced.secret}\n   kind: personal\n`,
  `version: 1\ndeploy_tokens:\n  - {username: d, scopes: [read_registry], projects: [acme/app], token: ${SECRETS.personal.secret}}\n`,
  `version: 1\naccess_tokens:\n  - {name: y, kind: personal, user: alice, scopes: [api], token_sha256: ${SECRETS.misplaced.secret}}\n`,
];

describe('security check 34: secrets do not leak into logs, answers, metrics or tables', function () {
  this.timeout(120_000);
  const sinks = createSinks();
  /** Secrets that the server itself makes: tokens and keys. */
  const made: Canary[] = [];
  let site: Site;
  let server: Server;
  let relay: Relay;
  let api: AdminApi;

  before(async () => {
    site = await makeSite('postgresql');
    relay = await startRelay(site.env['CELLPASS_DATABASE_URL']!);
    const url = new URL(relay.url);
    url.password = SECRETS.database.secret;
    server = await site.serve({
      CELLPASS_DATABASE_URL: url.href,
      CELLPASS_LOG_LEVEL: 'trace',
      CELLPASS_ADMIN_TOKEN: SECRETS.admin.secret,
    });
    api = openAdminApi(site.socket);
    await command(['directory', 'apply', '-f', '-'], JSON.stringify(DIRECTORY));
    made.push({ name: 'the master key', secret: (await readFile(site.masterKey, 'utf8')).trim() });
  });
  after(async () => {
    await api.close();
    await site.remove();
    await relay.close();
  });

  /** Runs a command, and adds its output to the sinks. */
  const command = async (args: readonly string[], input = ''): Promise<void> => {
    const { stdout, stderr } = await site.run(args, { input });
    sinks.add(`the command ${args.join(' ')}`, stdout + stderr);
  };
  /** Creates a token; the command shows its secret only this once. */
  const mint = async (what: string, ...options: string[]): Promise<void> => {
    const { code, stdout, stderr } = await site.run([what, 'create', ...options, '--json']);
    assert.equal(code, 0, stderr);
    sinks.add(`what was said of a new ${what}`, stderr);
    made.push({ name: `a new ${what}`, secret: JSON.parse(stdout).token });
  };
  /** Sends a request to the admin socket, and adds the answer to the sinks. */
  const administer = async (...request: Parameters<AdminApi['send']>): Promise<void> => {
    const { status, body } = await api.send(...request);
    assert.notEqual(status, 0);
    sinks.add(`the answer to ${request[0]} ${request[1]}`, body);
  };
  /** Asks for a token, and adds the answer without the token to the sinks. */
  const ask = async (path: string, init: RequestInit): Promise<void> => {
    const response = await fetch(`${server.url}${path}`, init);
    const text = await response.text();
    const headers = [...response.headers].join('\n');
    if (!response.ok)
      return sinks.add(`the answer ${response.status} to ${path.slice(0, 40)}`, headers + text);
    const { token }: { readonly token: string } = JSON.parse(text);
    made.push({ name: 'a token that was issued', secret: token.split('.')[2]! });
    sinks.add('the claims of a token', Buffer.from(token.split('.')[1]!, 'base64url').toString());
    sinks.add('the headers of an answer', headers);
  };
  const askAll = async (): Promise<void> => {
    const query = new URLSearchParams({
      service: 'container_registry',
      scope: 'repository:acme/app:pull,push',
    });
    for (const [username, { secret: password }] of ATTEMPTS) {
      const basic = Buffer.from(`${username}:${password}`).toString('base64');
      for (const authorization of [`Basic ${basic}`, `Basic ${basic}!`, `Bearer ${password}`, password]) {
        await ask(`/jwt/auth?${query}`, { headers: { authorization } });
      }
      const form = {
        grant_type: 'password',
        client_id: 'docker',
        username,
        password,
        ...Object.fromEntries(query),
      };
      await ask('/jwt/auth', { method: 'POST', body: new URLSearchParams(form) });
      await ask('/jwt/auth', { method: 'POST', body: new URLSearchParams({ ...form, grant_type: 'none' }) });
      await ask('/jwt/auth', {
        method: 'POST',
        body: JSON.stringify(form),
        headers: { 'content-type': 'application/json' },
      });
      await ask('/nowhere', { headers: { authorization: `Basic ${basic}` } });
    }
  };

  it('clients ask with every credential, right and wrong, with the database there and away', async () => {
    await askAll();
    await relay.cut();
    await askAll();
    await relay.mend();
    await until(
      async () => ((await fetch(`${server.url}/readyz`)).ok ? true : undefined),
      () => 'it does not heal',
    );
  });

  it('admins give secrets in every way, right and wrong', async () => {
    for (const document of WRONG_DOCUMENTS) await administer('POST', '/admin/v1/directory', document);
    // A command prints the server's answer; one command of each kind is enough.
    for (const at of [0, 6]) await command(['directory', 'apply', '-f', '-'], WRONG_DOCUMENTS[at]);
    const token = SECRETS.putJob.secret;
    await administer('PUT', '/admin/v1/job-tokens/7', {
      project: 'acme/app',
      user: 'alice',
      token,
      expires_at: '2040-01-01T00:00:00Z',
    });
    await administer('PUT', '/admin/v1/job-tokens/8', { project: 'acme/none', user: 'alice', token });
    await administer('PUT', '/admin/v1/job-tokens/9', { project: 'acme/app', tocken: token });
    await administer('PUT', '/admin/v1/job-tokens/9', {
      project: 'acme/app',
      user: null,
      token: SECRETS.job.secret,
    });
    await administer('PUT', '/admin/v1/job-tokens/9', `{"project": "acme/app", "token": "${token}`);
    await mint('token', '--kind', 'personal', '--user', 'alice', '--scopes', 'api', '--name', 'minted');
    await mint('admin-token', '--name', 'minted');
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const pem = String(privateKey.export({ type: 'pkcs8', format: 'pem' }));
    made.push({ name: 'an imported key', secret: String(privateKey.export({ format: 'jwk' }).d) });
    made.push({ name: 'an imported key', secret: pem.split('\n')[7]! });
    await administer('POST', '/admin/v1/keys/import', { private_key_pem: pem });
    await administer('POST', '/admin/v1/keys/import', { pem });
    await administer('POST', '/admin/v1/keys/import', {
      private_key_pem: `${pem.slice(0, 900)}\n-----END PRIVATE KEY-----\n`,
    });
  });

  it('everything that can be read is read', async () => {
    for (const path of ['keys', 'keys/history', 'directory']) await administer('GET', `/admin/v1/${path}`);
    for (const path of ['/metrics', '/openapi.json', '/readyz']) await administer('GET', path);
    await command(['explain', '--as', 'alice', '--scope', 'repository:acme/app:pull,push']);
    const ids = server.child.output().match(/(?<="request_id":")[0-9a-f-]{36}/g) ?? [];
    assert.ok(ids.length > 100);
    for (const id of ids.slice(0, 200)) await administer('GET', `/admin/v1/refusals/${id}`);
    await command(['directory', 'export']);
    await command(['doctor', '--json']);
    sinks.add('the list of processes', execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }));
    for (const [table, text] of await dumpOf(site.env['CELLPASS_DATABASE_URL']!))
      sinks.add(`the table ${table}`, text);
    sinks.add('the log and what was printed', server.child.output());
  });

  it('no secret is in any of it', () => {
    assert.ok(made.length > 10);
    assert.deepEqual(sinks.findings([...Object.values(SECRETS), ...made]), []);
  });

  it('a secret would be found', () => {
    const [canary] = Object.values(SECRETS);
    const forms = [
      canary!.secret,
      Buffer.from(`alice:${canary!.secret}`).toString('base64'),
      Buffer.from(canary!.secret).toString('hex'),
    ];
    for (const form of forms) {
      const leaking = createSinks();
      leaking.add('a log', `something ${form} else`);
      assert.notEqual(leaking.findings([canary!]).length, 0, form);
    }
  });
});
