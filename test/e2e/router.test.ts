import assert from 'node:assert/strict';
import { needs } from '../support/e2e/bench.ts';
import { type FakeCell, type Router, startCell, startRouter } from '../support/e2e/haproxy.ts';
import { debianTool } from '../support/e2e/tools.ts';

describe('the registry router', function () {
  this.timeout(20_000);
  const haproxy = needs(() => debianTool('haproxy'));
  let cells: readonly [FakeCell, FakeCell];
  let router: Router;
  before(async () => {
    cells = [await startCell(1), await startCell(2)];
    router = await startRouter({ haproxy: haproxy(), cells, namespaces: { 2: ['acme'] } });
  });
  after(async () => {
    await router?.stop();
    for (const { issuer, registry } of cells ?? []) {
      await issuer.stop();
      await registry.stop();
    }
  });

  const ask = async (path: string, authorization?: string) => {
    const headers = authorization === undefined ? {} : { authorization };
    const response = await fetch(`${router.url}${path}`, { headers });
    return { status: response.status, body: (await response.json()) as object };
  };

  it('sends anonymous calls to the cell of the namespace, and what has none to the legacy cell', async () => {
    const rows: readonly [path: string, cell: number][] = [
      ['/v2/', 1],
      ['/v2/_catalog', 1],
      ['/v2/acme/app/manifests/latest', 2],
      ['/v2/ACME/app/manifests/latest', 2],
      ['/v2/acmes/app/manifests/latest', 1],
    ];
    for (const [path, registry] of rows) assert.deepEqual((await ask(path)).body, { registry }, path);
  });

  it('sends a token to its cell, whatever the path', async () => {
    for (const cell of cells) {
      const token = await cell.sign();
      for (const path of ['/v2/', '/v2/acme/app/manifests/latest', '/v2/other/app/manifests/latest']) {
        assert.deepEqual(await ask(path, `Bearer ${token}`), { status: 200, body: { registry: cell.id } });
      }
    }
  });

  it('refuses a token of one cell that claims another', async () => {
    const { status } = await ask('/v2/', `Bearer ${await cells[0].sign({ cell: 'cell-2' })}`);
    assert.equal(status, 401);
  });
});
