import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { until } from '../support/processes/child.ts';
import { makeSite } from '../support/processes/site.ts';
import { serveBare, statusOf } from './bare-server.ts';

const OPEN_FILES = 400;
/** More than the process may open. */
const CLIENTS = 600;

describe('a server that may open few files', function () {
  this.timeout(60_000);
  it('warns at its start, gives clients over the limit 503, and none of them keeps it from working', async () => {
    const site = await makeSite('postgresql');
    const file = join(site.dir, 'log');
    const output = openSync(file, 'a');
    const server = await serveBare(site, { output, openFiles: OPEN_FILES });
    const clients: Socket[] = [];
    try {
      assert.match(readFileSync(file, 'utf8'), /"open_files":400.*ulimit -n is too low/);
      const { port } = new URL(server.url);
      let served = 0;
      let refused = 0;
      for (let left = CLIENTS; left > 0; left--) {
        const client = connect(Number(port), '127.0.0.1').on('error', () => undefined);
        client.setEncoding('latin1').on('data', (text: string) => {
          if (text.startsWith('HTTP/1.1 200')) served += 1;
          if (text.startsWith('HTTP/1.1 503')) refused += 1;
        });
        client.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
        clients.push(client);
      }
      await until(
        () => (served > 100 && refused > 50 ? true : undefined),
        () => `${served} served, ${refused} refused`,
      );
      assert.doesNotMatch(readFileSync(file, 'utf8'), /EMFILE/);
      for (const client of clients) client.destroy();
      await until(
        async () => ((await statusOf(`${server.url}/readyz`)) === 200 ? true : undefined),
        () => 'it is not ready again',
      );
      assert.equal((await server.stop()).how, 0);
    } finally {
      for (const client of clients) client.destroy();
      await server.kill();
      closeSync(output);
      await site.remove();
    }
  });
});
