import assert from 'node:assert/strict';
import { debianTool, INSTALL_MS } from '../support/e2e/tools.ts';
import { until } from '../support/processes/child.ts';
import { makeSite, type Server, type Site } from '../support/processes/site.ts';

/** How libfaketime changes the clock of one replica, which is a process of its own. */
const OFFSETS: readonly string[] = ['+1h', '-1h', '+40s'];

describe('a replica beside a right one, whose clock libfaketime sets', function () {
  this.timeout(INSTALL_MS);
  let library: string;
  let site: Site;
  let other: Site;
  let right: Server;
  before(async function () {
    const found = await debianTool('libfaketime');
    if (found === undefined) return this.skip();
    library = found;
    site = await makeSite('postgresql');
    other = await makeSite('postgresql');
    right = await site.serve();
  });
  after(async () => {
    await site?.remove();
    await other?.remove();
  });

  const statusOf = async (url: string): Promise<number> => {
    const response = await fetch(url).catch(() => undefined);
    await response?.arrayBuffer();
    return response?.status ?? 0;
  };
  const token = ({ url }: Server): string => `${url}/jwt/auth?service=container_registry`;

  for (const offset of OFFSETS) {
    it(`by ${offset} is not ready, gives no token, and says so; the other goes on`, async () => {
      const wrong = await other.serve({
        ...site.env,
        CELLPASS_DATA_DIR: other.dataDir,
        LD_PRELOAD: library,
        FAKETIME: offset,
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      });
      await until(
        async () => ((await statusOf(`${wrong.url}/readyz`)) === 503 ? true : undefined),
        () => wrong.child.output(),
      );
      assert.equal(await statusOf(token(wrong)), 503);
      assert.equal(await statusOf(`${right.url}/readyz`), 200);
      assert.notEqual(await statusOf(token(right)), 503);
      assert.match(wrong.child.output(), /the clock of this server differs from the database's/);
      await wrong.stop();
    });
  }
});
