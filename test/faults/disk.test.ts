import assert from 'node:assert/strict';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AdminApi, openAdminApi } from '../support/admin-api.ts';
import { newSecret } from '../support/directory/town.ts';
import { until } from '../support/processes/child.ts';
import {
  fetchJwks,
  fetchToken,
  makeSite,
  type Server,
  type Site,
  verify,
} from '../support/processes/site.ts';
import { fill, mount, unmount } from './small-disk.ts';

const DISK = '160m';
const TOKEN = newSecret('glpat-');
const SCOPE = 'repository:acme/p-0:pull';
const documentOf = (projects: number): string =>
  JSON.stringify({
    version: 1,
    users: [{ username: 'alice', id: 11 }],
    groups: [{ path: 'acme', members: [{ user: 'alice', role: 'developer' }] }],
    projects: Array.from({ length: projects }, (_, at) => ({ path: `acme/p-${at}` })),
    access_tokens: [{ name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: TOKEN }],
  });

describe('a full disk under the data directory', function () {
  this.timeout(120_000);
  for (const kind of ['embedded', 'postgresql'] as const) {
    describe(`with the ${kind} database`, () => {
      let site: Site;
      let server: Server;
      let api: AdminApi;
      before(async function () {
        site = await makeSite(kind);
        mkdirSync(site.dataDir, { mode: 0o700 });
        if (!mount(site.dataDir, DISK)) {
          console.log('skipped: a full disk, which takes a mount and so root');
          this.skip();
        }
        server = await site.serve();
        api = openAdminApi(site.socket);
        assert.equal((await api.send('POST', '/admin/v1/directory', documentOf(3))).status, 200);
      });
      after(async () => {
        await api?.close();
        await server?.stop();
        unmount(site.dataDir);
        await site.remove();
      });
      const assertServes = async (): Promise<void> => {
        await verify(await fetchToken(server.url, ['alice', TOKEN], SCOPE), await fetchJwks(server.url));
      };

      it('does not keep it from giving tokens, and it is whole when there is room again', async () => {
        const filler = join(site.dataDir, 'filler');
        fill(filler);
        await assertServes();
        const { status, body } = await api.send('POST', '/admin/v1/directory', documentOf(20_000));
        if (kind === 'postgresql') assert.equal(status, 200);
        else {
          assert.equal(status, 503, body);
          assert.match(JSON.parse(body).errors[0].message, /disk of the database is full/);
        }
        rmSync(filler);
        await until(
          async () =>
            (await api.send('POST', '/admin/v1/directory', documentOf(30))).status === 200 ? true : undefined,
          () => 'it does not heal',
        );
        await assertServes();
        assert.equal(await server.stop(), 0);
        server = await site.serve();
        await assertServes();
        assert.match((await api.send('GET', '/admin/v1/directory')).body, /acme\/p-29/);
      });
    });
  }
});
