import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import request from 'supertest';
import { stringify } from 'yaml';
import { freePort } from '../../support/database/postgres.ts';
import { createMemoryIssuer, type MemoryIssuer } from '../../support/federation/issuer.ts';
import { type FederationFile, writeFederation } from '../../support/federation/settings.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const AUDIENCES = { 1: 'https://one.example.com', 2: 'https://two.example.com' } as const;
const EXCHANGE = {
  grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
  subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
};

const directory = (group: string) => ({
  users: [{ username: `bot-of-${group}`, kind: 'service_account' }],
  groups: [{ path: group, members: [{ user: `bot-of-${group}`, role: 'developer' }] }],
  projects: [
    { path: `${group}/private`, visibility: 'private' },
    { path: `${group}/public`, visibility: 'public' },
  ],
  federated_identities: [
    {
      name: 'job',
      issuer: 'ci',
      account: `bot-of-${group}`,
      scopes: ['read_registry'],
      claims: { sub: 'job-1' },
    },
  ],
});

describe('ID tokens and cells', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-id-token-cells-'));
  const cellsFile = join(folder, 'cells.yaml');
  let issuer: MemoryIssuer;
  const files: FederationFile[] = [];
  const servers: TestServer[] = [];
  const start = async (cell: 1 | 2, port: number): Promise<TestServer> => {
    const file = writeFederation([issuer], { federation: { audience: AUDIENCES[cell] } });
    files.push(file);
    const environment = { ...file.environment, CELLPASS_CELL: String(cell), CELLPASS_CELLS_FILE: cellsFile };
    const server = await startTestServer({
      environment,
      port,
      fetchKeys: (entry) => issuer.fetchKeys(entry),
    });
    servers.push(server);
    return server;
  };
  let one: TestServer;
  let two: TestServer;
  before(async () => {
    issuer = await createMemoryIssuer();
    const ports = [await freePort(), await freePort()] as const;
    writeFileSync(
      cellsFile,
      stringify({
        cells: [
          {
            id: 1,
            legacy: true,
            url: `http://127.0.0.1:${ports[0]}`,
            namespaces: ['first'],
            audiences: [AUDIENCES[1]],
          },
          {
            id: 2,
            url: `http://127.0.0.1:${ports[1]}`,
            namespaces: ['second'],
            audiences: [AUDIENCES[2], 'https://more.example.com'],
          },
        ],
      }),
    );
    one = await start(1, ports[0]);
    two = await start(2, ports[1]);
    await one.apply(directory('first'));
    await two.apply(directory('second'));
  });
  after(async () => {
    for (const server of servers) await server.close();
    for (const file of files) file.remove();
    rmSync(folder, { recursive: true });
  });
  const sign = (aud: unknown) => issuer.sign({ aud });
  const granted = async (server: TestServer, aud: unknown, scope: string) => {
    const { status, body } = await server.ask({ as: ['oidc', await sign(aud)], scope });
    return status === 200
      ? JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString())
      : status;
  };

  it('go to the cell of their audience, whichever cell is asked', async () => {
    for (const server of [one, two]) {
      const { cell, sub, access } = await granted(server, AUDIENCES[2], 'repository:second/private:pull');
      assert.deepEqual([cell, sub, access.length], ['cell-2', 'bot-of-second', 1]);
    }
  });

  it('without scopes are judged by the cell of their audience', async () => {
    for (const server of [one, two]) {
      const { status } = await server.ask({ as: ['oidc', await sign(AUDIENCES[2])] });
      assert.equal(status, 200);
    }
  });

  it('of another cell count as anonymous where a repository lives, and never get more', async () => {
    assert.equal((await granted(one, AUDIENCES[2], 'repository:first/public:pull')).access.length, 1);
    assert.equal(await granted(one, AUDIENCES[2], 'repository:first/private:pull'), 401);
    assert.equal(await granted(two, AUDIENCES[2], 'repository:first/private:pull'), 401);
  });

  it('for nobody here are refused', async () => {
    for (const aud of ['https://elsewhere.example.com', undefined, []])
      assert.equal(await granted(one, aud, 'repository:first/public:pull'), 401);
  });

  it('for several cells are taken by the one that is asked', async () => {
    const both = [AUDIENCES[1], AUDIENCES[2]];
    const { status, body } = await two.ask({ as: ['oidc', await sign(both)] });
    assert.equal(status, 200);
    assert.equal(JSON.parse(Buffer.from(body.token.split('.')[1], 'base64url').toString()).cell, 'cell-2');
  });

  it('are exchanged by the cell of their audience', async () => {
    const answer = await request(one.app)
      .post('/jwt/auth')
      .type('form')
      .send({ ...EXCHANGE, subject_token: await sign(AUDIENCES[2]), scope: 'repository:first/private:pull' });
    assert.deepEqual([answer.status, answer.body.username], [200, 'bot-of-second']);
    const { access_token } = answer.body;
    for (const server of [one, two]) {
      const { status } = await server.ask({
        as: ['bot-of-second', access_token],
        scope: 'repository:second/private:pull',
      });
      assert.equal(status, 200);
    }
  });

  it('that are none are sent to no other cell for an exchange', async () => {
    const before = one.log.length;
    const answer = await request(two.app)
      .post('/jwt/auth')
      .type('form')
      .send({ ...EXCHANGE, subject_token: 'correct horse battery staple' });
    assert.equal(answer.status, 401);
    assert.deepEqual(one.log.slice(before), []);
  });

  it('are explained with the cell that answers', async () => {
    const { body } = await request(one.admin)
      .post('/admin/v1/explain')
      .send({ id_token: await sign(AUDIENCES[2]), scopes: ['repository:second/private:pull'] });
    assert.deepEqual([body.cell.answers, body.cell.takes_credentials], [2, true]);
  });

  it('need the audiences of the settings to be those of the cell', async () => {
    const file = writeFederation([issuer], { federation: { audience: 'https://three.example.com' } });
    const environment = { ...file.environment, CELLPASS_CELL: '1', CELLPASS_CELLS_FILE: cellsFile };
    await assert.rejects(
      startTestServer({ environment, fetchKeys: (entry) => issuer.fetchKeys(entry) }),
      /cell 1 does not list https:\/\/three.example.com, which federation names as audience/,
    );
    file.remove();
  });
});
