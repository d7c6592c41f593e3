import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { freePort } from '../../../support/database/postgres.ts';
import {
  json,
  type RailsStandIn,
  type RawAnswer,
  startRailsStandIn,
} from '../../../support/rails/stand-in.ts';
import { startTestServer, type TestServer } from '../../../support/server.ts';

describe('two cells, each with its own GitLab Rails', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-rails-cells-'));
  const rails: RailsStandIn[] = [];
  const servers: TestServer[] = [];

  before(async () => {
    const ports = [await freePort(), await freePort()] as const;
    const file = join(folder, 'cells.yaml');
    const url = (port: number): string => `http://127.0.0.1:${port}`;
    writeFileSync(
      file,
      stringify({
        cells: [
          { id: 1, legacy: true, url: url(ports[0]), namespaces: ['one'] },
          { id: 2, url: url(ports[1]), namespaces: ['two'] },
        ],
      }),
    );
    for (const [at, port] of ports.entries()) {
      const own = await startRailsStandIn();
      rails.push(own);
      servers.push(
        await startTestServer({
          port,
          environment: {
            CELLPASS_CELL: String(at + 1),
            CELLPASS_CELLS_FILE: file,
            CELLPASS_GITLAB_RAILS_URL: own.url,
            CELLPASS_GITLAB_MODE: 'observe',
          },
        }),
      );
    }
  });
  after(async () => {
    for (const server of servers) await server.close();
    for (const one of rails) await one.close();
    rmSync(folder, { recursive: true });
  });
  beforeEach(() => {
    for (const one of rails) one.forget();
  });

  const seen = (): readonly number[] => rails.map((one) => one.seen.length);

  const ANSWERS: readonly (readonly [what: string, answer: RawAnswer])[] = [
    ['a token', json(200, { token: 'of Rails' })],
    ['a refusal', json(403, { errors: [] })],
    ['a ban', { status: 403, headers: { 'Content-Type': 'text/plain' }, body: 'Forbidden\n' }],
    ['a failure', { status: 502, headers: { 'Content-Type': 'text/html' }, body: '<html>' }],
  ];
  for (const [what, answer] of ANSWERS) {
    it(`forwards, and asks the Rails of the other cell once: ${what} comes through`, async () => {
      rails[1]?.behave(() => answer);
      const given = await servers[0]?.ask({ scope: 'repository:two/app:pull' });
      assert.deepEqual(
        [given?.status, given?.text, given?.headers['content-type']],
        [answer.status, String(answer.body), answer.headers?.['Content-Type']],
      );
      assert.equal(given?.headers['x-content-type-options'], 'nosniff');
      assert.deepEqual(seen(), [0, 1]);
      assert.equal(rails[1]?.seen[0]?.headers['cellpass-hop'], 'rails');
    });
  }

  it('asks its own Rails about its own groups', async () => {
    rails[0]?.behave(() => json(200, { token: 'own' }));
    assert.equal((await servers[0]?.ask({ scope: 'repository:one/app:pull' }))?.body.token, 'own');
    assert.deepEqual(seen(), [1, 0]);
  });

  it('answers 503 where the Rails of the other cell is away', async () => {
    rails[1]?.behave(() => 'reset');
    const given = await servers[0]?.ask({ scope: 'repository:two/app:pull' });
    assert.equal(given?.status, 503);
    assert.equal(seen()[0], 0);
  });
});
