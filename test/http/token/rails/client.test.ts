import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { CellpassError } from '../../../../src/errors.ts';
import {
  createRailsClient,
  type RailsClient,
  type RailsRequest,
} from '../../../../src/http/token/rails/client.ts';
import { until } from '../../../support/processes/child.ts';
import {
  type RailsStandIn,
  type RawAnswer,
  railsToken,
  startRailsStandIn,
} from '../../../support/rails/stand-in.ts';

const REQUEST: RailsRequest = {
  search: '?service=x',
  form: null,
  contentType: '',
  authorization: '',
  accept: '',
  userAgent: '',
  clientAddress: '192.0.2.1',
  network: '192.0.2.1',
};
const TOKEN = railsToken({ access: [], exp: 1 });

const isAway = (error: unknown): boolean =>
  error instanceof CellpassError && error.code === 'unavailable' && error.reason === 'rails_away';

describe('the client of GitLab Rails', () => {
  let rails: RailsStandIn;
  let client: RailsClient;
  beforeEach(async () => {
    rails = await startRailsStandIn(() => TOKEN);
    client = createRailsClient(rails.url);
  });
  afterEach(async () => {
    await client.close();
    await rails.close();
  });

  it('gives up at its deadline', async () => {
    rails.behave(() => 'hang');
    const hasty = createRailsClient(rails.url, { deadlineMs: 200 });
    const startedAt = performance.now();
    await assert.rejects(hasty.ask(REQUEST), isAway);
    assert.ok(performance.now() - startedAt < 2000);
    // Its connection is of no use any more.
    rails.behave(() => TOKEN);
    assert.equal((await hasty.ask(REQUEST)).status, 200);
    await hasty.close();
  });

  it('names itself and the client, and nothing that the client did not say', async () => {
    await client.ask(REQUEST);
    const { host, connection, ...headers } = rails.seen[0]?.headers ?? {};
    assert.ok(host !== undefined && connection !== undefined);
    assert.deepEqual(headers, {
      accept: 'application/json',
      'user-agent': 'cellpass',
      'x-forwarded-for': '192.0.2.1',
      'cellpass-hop': 'rails',
    });
  });

  it('leaves connections to others, however much one address asks', async () => {
    const held: ((answer: RawAnswer) => void)[] = [];
    rails.behave(() => new Promise<RawAnswer>((resolve) => held.push(resolve)));
    const heldNow = (count: number): Promise<true> =>
      until(
        () => (held.length >= count ? true : undefined),
        () => `${held.length} of ${count}`,
      );
    const crowd = Array.from({ length: 60 }, () => client.ask(REQUEST));
    await heldNow(32);
    const other = client.ask({ ...REQUEST, network: '192.0.2.2' });
    await heldNow(33);
    assert.deepEqual([held.length, client.stats().waiting], [33, 28]);
    rails.behave(() => TOKEN);
    for (const answer of held) answer(TOKEN);
    const answers = await Promise.all([...crowd, other]);
    assert.ok(answers.every(({ status }) => status === 200));
  });

  it('does not ask for clients that have gone while they waited, and finishes what has begun', async () => {
    const held: ((answer: RawAnswer) => void)[] = [];
    rails.behave(() => new Promise<RawAnswer>((resolve) => held.push(resolve)));
    const leaving = new AbortController();
    const asked = Array.from({ length: 60 }, () => client.ask({ ...REQUEST, gone: () => leaving.signal }));
    const all = Promise.allSettled(asked);
    await until(
      () => (held.length === 32 ? true : undefined),
      () => `${held.length} of 32`,
    );
    leaving.abort();
    await until(
      () => (client.stats().waiting === 0 ? true : undefined),
      () => `${client.stats().waiting} wait`,
    );
    for (const answer of held) answer(TOKEN);
    const outcomes = await all;
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 32);
    assert.equal(rails.seen.length, 32);
  });

  it('lets a bounded number wait', async () => {
    rails.behave(() => 'hang');
    const hasty = createRailsClient(rails.url, { deadlineMs: 1000 });
    const asked = Array.from({ length: 1200 }, () => hasty.ask(REQUEST));
    const all = Promise.allSettled(asked);
    assert.deepEqual([hasty.stats().waiting, hasty.stats().refused], [1024, 1200 - 32 - 1024]);
    assert.ok((await all).every(({ status }) => status === 'rejected'));
    await hasty.close();
  });

  it('asks once where an answer breaks off, which Rails may have counted', async () => {
    let seen = 0;
    const broken = createServer((_, response) => {
      seen += 1;
      response.writeHead(401, { 'Content-Type': 'application/json', 'Content-Length': '100' });
      response.write('{"errors"', () => response.destroy());
    });
    await once(broken.listen(0, '127.0.0.1'), 'listening');
    const { port } = broken.address() as AddressInfo;
    const other = createRailsClient(`http://127.0.0.1:${port}`);
    await assert.rejects(other.ask(REQUEST), isAway);
    assert.equal(seen, 1);
    await other.close();
    broken.close();
  });

  it('keeps what an answer says of its form only in the form that it must have', async () => {
    const odd = {
      'Content-Type': 'text/html; boundary="<script>"',
      'Retry-After': 'Wed, 21 Oct 2026 07:28:00 GMT',
    };
    rails.behave(() => ({ status: 503, headers: odd, body: 'x' }));
    const { contentType, retryAfter } = await client.ask(REQUEST);
    assert.deepEqual([contentType, retryAfter], [null, null]);
  });
});
