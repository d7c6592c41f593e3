import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { Agent, fetch } from 'undici';
import { until } from '../support/processes/child.ts';
import { workersOf } from '../support/processes/children.ts';
import { makeSite, type Server, type Site } from '../support/processes/site.ts';
import { makeTls, untilServed } from '../support/processes/tls.ts';

const RELOADED = '"msg":"reloaded the TLS certificate"';
const KEPT = 'could not be reloaded; keeping the old one';

describe('TLS files that are wrong at SIGHUP', function () {
  this.timeout(60_000);
  for (const workers of [1, 2]) {
    describe(`with ${workers} process(es)`, () => {
      let site: Site;
      let server: Server;
      let files: Awaited<ReturnType<typeof makeTls>>;
      before(async () => {
        site = await makeSite('postgresql');
        files = await makeTls(site, 'first.example.com');
        server = await site.serve({ ...files, CELLPASS_WORKERS: String(workers) });
      });
      after(() => site.remove());

      const count = (text: string): number => server.child.output().split(text).length - 1;
      const pids = (): readonly number[] => workersOf(server.child.pid!);

      it('are named, and the old certificate stays in use', async () => {
        await writeFile(files.CELLPASS_TLS_CERT, 'no certificate');
        server.child.signal('SIGHUP');
        await until(
          () => (count(KEPT) > 0 ? true : undefined),
          () => server.child.output(),
        );
        assert.ok(server.child.output().includes(`CELLPASS_TLS_CERT: ${files.CELLPASS_TLS_CERT}`));
        assert.equal(count(RELOADED), 0);
        await untilServed(server.url, 'first.example.com');
      });

      if (workers > 1) {
        it('do not keep a worker from being replaced', async () => {
          for (const victim of pids()) process.kill(victim, 'SIGKILL');
          await until(
            () => (count('"msg":"a worker ended; starting another"') === workers ? true : undefined),
            () => server.child.output(),
          );
          await until(
            async () => {
              const response = await fetchHealth(server.url).catch(() => 0);
              return response === 200 && pids().length === workers ? true : undefined;
            },
            () => server.child.output(),
          );
          await untilServed(server.url, 'first.example.com');
          assert.equal(count('could not start'), 0);
        });
      }

      it('are read when they are right again, by every worker', async () => {
        await makeTls(site, 'second.example.com');
        server.child.signal('SIGHUP');
        await untilServed(server.url, 'second.example.com');
        for (let i = 0; i < 2 * workers; i++) await untilServed(server.url, 'second.example.com');
        await until(
          () => (count(RELOADED) > 0 ? true : undefined),
          () => server.child.output(),
        );
        assert.equal(count(RELOADED), 1);
        assert.equal(await server.stop(), 0);
      });
    });
  }
});

async function fetchHealth(url: string): Promise<number> {
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  try {
    return (await fetch(`${url}/healthz`, { dispatcher })).status;
  } finally {
    await dispatcher.close();
  }
}
