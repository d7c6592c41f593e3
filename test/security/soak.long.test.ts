import assert from 'node:assert/strict';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { secret } from '../support/directory/acme.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const ROUND = 800;
const AT_ONCE = 30;
/**
 * More than a few hundred cached requests take, and less than a round would if each request leaked
 * 4 KB.
 */
const GROWTH_BYTES = 4 * 1024 * 1024;

describe('security check 37: nothing grows with the number of requests', function () {
  this.timeout(180_000);
  let server: TestServer;
  const tokens = Array.from({ length: 50 }, () => secret('glpat-'));
  before(async () => {
    // A log that discards its lines.
    const ignore = (): void => undefined;
    server = await startTestServer({ log: { debug: ignore, info: ignore, warn: ignore, error: ignore } });
    await server.apply({
      users: [{ username: 'alice' }],
      projects: [{ path: 'alice/app' }],
      access_tokens: tokens.map((token, at) => ({
        name: `t${at}`,
        kind: 'personal',
        user: 'alice',
        scopes: ['api'],
        token,
      })),
    });
  });
  after(() => server.close());

  /** Every request has a new name, a new scope and a new secret. */
  const round = async (name: string): Promise<void> => {
    const requests = Array.from({ length: ROUND }, (_, at) => async () => {
      const scope = [`repository:alice/app:pull`, `repository:${name}/${at}:pull`];
      if (at % 3 === 0) await server.ask({ scope });
      else if (at % 3 === 1)
        await server.ask({
          as: [`${name}-${at}`, tokens[at % tokens.length]!],
          scope,
          ip: `10.${at % 250}.0.1`,
        });
      else await server.ask({ as: [`${name}-${at}`, secret('glpat-')], scope, service: `${name}-${at}` });
    });
    const lanes = Array.from({ length: AT_ONCE }, async () => {
      for (let next = requests.pop(); next !== undefined; next = requests.pop()) await next();
    });
    await Promise.all(lanes);
  };
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const heapBytes = (): number => {
    for (let pass = 0; pass < 3; pass++) collect();
    return process.memoryUsage().heapUsed;
  };

  it('whatever is new in them', async () => {
    await round('warm');
    const before = heapBytes();
    for (let n = 0; n < 3; n++) await round(`round-${n}`);
    const grown = heapBytes() - before;
    assert.ok(grown < GROWTH_BYTES, `${Math.round(grown / 1024)} KB after ${3 * ROUND} requests`);
  });
});
