import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { loadConfig } from '../../../src/config/load.ts';
import { createCertificate } from '../../../src/server/certificate.ts';
import { createStandIn, type StandIn } from '../../../src/server/workers/stand-in.ts';
import { freePort } from '../../support/database/postgres.ts';
import { until } from '../../support/processes/child.ts';

describe('the stand-in for workers', () => {
  let port: number;
  let standIn: StandIn;
  const said: string[] = [];
  beforeEach(async () => {
    port = await freePort();
    said.length = 0;
    standIn = createStandIn({
      config: loadConfig({ CELLPASS_LISTEN: `127.0.0.1:${port}` }),
      certificate: createCertificate(null),
      log: { warn: (_fields, message) => said.push(message) },
    });
  });
  afterEach(() => standIn.end());

  const ask = () => fetch(`http://127.0.0.1:${port}/jwt/auth`).catch(() => undefined);
  const untilAnswering = () =>
    until(
      async () => ask(),
      () => `no answer: ${said}`,
    );

  it('answers every path with 503 and the usual error, and closes the connection', async () => {
    standIn.begin();
    const response = await untilAnswering();
    assert.equal(response.status, 503);
    assert.equal(response.headers.get('retry-after'), '1');
    assert.equal(response.headers.get('connection'), 'close');
    const { errors } = (await response.json()) as { readonly errors: readonly { readonly code: string }[] };
    assert.equal(errors[0]?.code, 'UNAVAILABLE');
  });

  it('frees the port at once, and takes it again, as often as needed', async () => {
    for (let i = 0; i < 3; i++) {
      standIn.begin();
      standIn.begin();
      await untilAnswering();
      standIn.end();
      standIn.end();
      const other = createServer();
      await new Promise<void>((resolve, reject) => {
        other.once('error', reject).listen(port, '127.0.0.1', resolve);
      });
      await new Promise((resolve) => other.close(resolve));
    }
  });

  it('does not listen when it ends before it could', async () => {
    standIn.begin();
    standIn.end();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(await ask(), undefined);
  });

  it('waits for a port that is still in use', async () => {
    const holder = createServer((socket) => socket.destroy());
    await new Promise<void>((resolve) => {
      holder.listen(port, '127.0.0.1', resolve);
    });
    standIn.begin();
    await until(
      () => (said.some((message) => message.includes('retrying')) ? true : undefined),
      () => String(said),
    );
    await new Promise((resolve) => holder.close(resolve));
    assert.equal((await untilAnswering()).status, 503);
  });
});
