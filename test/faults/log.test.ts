import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, readFileSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { type AdminApi, openAdminApi } from '../support/admin-api.ts';
import { newSecret } from '../support/directory/town.ts';
import { parseMetrics } from '../support/metrics.ts';
import { until } from '../support/processes/child.ts';
import { makeSite, type Site } from '../support/processes/site.ts';
import { type BareServer, serveBare, statusOf } from './bare-server.ts';
import { fill, mount, unmount } from './small-disk.ts';

const TOKEN = newSecret('glpat-');
const DIRECTORY = {
  version: 1,
  users: [{ username: 'alice' }],
  projects: [{ path: 'alice/app' }],
  access_tokens: [{ name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: TOKEN }],
};
const AUTHORIZATION = `Basic ${Buffer.from(`x:${TOKEN}`).toString('base64')}`;
/** Each request leaves a log line of some kilobytes. */
const MANY_SCOPES = Array.from(
  { length: 20 },
  (_, at) => `&scope=repository:alice/${'n'.repeat(180)}-${at}:pull`,
);
const PATH = `/jwt/auth?service=container_registry&scope=repository:alice/app:pull${MANY_SCOPES.join('')}`;
/** More than a pipe or a socket holds. */
const REQUESTS = 300;
/** Without a drain and without a client that is still served. */
const EXIT_MS = 5000;

interface Destination {
  readonly output: number | 'pipe';
  /** Called when the server runs. */
  readonly breakIt?: () => void;
  close(): void;
}

const fifo = (site: Site, flags: number): number => {
  const path = join(site.dir, 'log');
  rmSync(path, { force: true });
  execFileSync('mkfifo', [path]);
  return openSync(path, flags);
};

const DESTINATIONS: readonly [what: string, open: (site: Site) => Destination][] = [
  [
    'goes to a full disk',
    () => {
      const output = openSync('/dev/full', 'w');
      return { output, close: () => closeSync(output) };
    },
  ],
  [
    'goes to a pipe whose reader hangs',
    (site) => {
      const output = fifo(site, constants.O_RDWR);
      return { output, close: () => closeSync(output) };
    },
  ],
  [
    'goes to a pipe whose reader is gone',
    (site) => {
      const reader = fifo(site, constants.O_RDONLY | constants.O_NONBLOCK);
      const output = openSync(join(site.dir, 'log'), 'w');
      return { output, breakIt: () => closeSync(reader), close: () => closeSync(output) };
    },
  ],
  ['goes to a socket whose reader hangs', () => ({ output: 'pipe', close: () => undefined })],
];

describe('a server whose log', function () {
  this.timeout(60_000);
  let site: Site;
  let server: BareServer | undefined;
  let api: AdminApi;
  before(async () => {
    site = await makeSite('postgresql');
    api = openAdminApi(site.socket);
  });
  after(async () => {
    await api.close();
    await site.remove();
  });
  afterEach(() => server?.kill());

  const start = async (output: number | 'pipe', workers: number): Promise<BareServer> => {
    server = await serveBare(site, { output, env: { CELLPASS_WORKERS: String(workers) } });
    assert.equal((await api.send('POST', '/admin/v1/directory', DIRECTORY)).status, 200);
    return server;
  };
  const ask = ({ url }: BareServer) => statusOf(`${url}${PATH}`, { authorization: AUTHORIZATION });
  const assertServes = async (running: BareServer, requests: number): Promise<void> => {
    for (let left = requests; left > 0; left -= 10) {
      const statuses = await Promise.all(Array.from({ length: 10 }, () => ask(running)));
      assert.deepEqual(new Set(statuses), new Set([200]));
    }
    assert.equal(await statusOf(`${running.url}/healthz`), 200);
    assert.equal((await api.send('GET', '/admin/v1/keys')).status, 200);
  };
  const assertEnds = async (running: BareServer): Promise<void> => {
    const { how, tookMs } = await running.stop();
    assert.equal(how, 0);
    assert.ok(tookMs < EXIT_MS, `${tookMs} ms`);
  };
  const linesLost = async (): Promise<number> => {
    const { body } = await api.send('GET', '/metrics');
    return parseMetrics(body).get('cellpass_log_lines_lost_total') ?? Number.NaN;
  };

  for (const workers of [1, 2]) {
    for (const [what, open] of DESTINATIONS) {
      it(`${what} answers, and ends at SIGTERM, with ${workers} process(es)`, async () => {
        const { output, breakIt, close } = open(site);
        try {
          const running = await start(output, workers);
          breakIt?.();
          await assertServes(running, REQUESTS);
          await assertEnds(running);
        } finally {
          close();
        }
      });
    }

    it(`is on a disk that was full has every line when there is room again, with ${workers} process(es)`, async function () {
      const disk = join(site.dir, 'disk');
      mkdirSync(disk, { recursive: true });
      if (!mount(disk, '1m')) {
        console.log('skipped: a full disk, which takes a mount and so root');
        this.skip();
      }
      const file = join(disk, 'log');
      const output = openSync(file, 'a');
      try {
        const running = await start(output, workers);
        const filler = join(disk, 'filler');
        fill(filler);
        await assertServes(running, 20);
        rmSync(filler);
        const lines = () => readFileSync(file, 'utf8').match(/"path":"\/jwt\/auth"/g)?.length ?? 0;
        await until(
          () => (lines() >= 20 ? true : undefined),
          () => `${lines()} lines`,
        );
        assert.equal(await linesLost(), 0);
        await assertEnds(running);
        assert.match(readFileSync(file, 'utf8'), /"msg":"stopping/);
      } finally {
        closeSync(output);
        unmount(disk);
      }
    });
  }

  it('loses lines counts them, and says how many when it is read again', async () => {
    const output = fifo(site, constants.O_RDWR);
    let text = '';
    const reader = (): Socket => {
      const descriptor = openSync(join(site.dir, 'log'), constants.O_RDONLY | constants.O_NONBLOCK);
      return new Socket({ fd: descriptor, writable: false }).setEncoding('utf8').on('data', (chunk) => {
        text += chunk;
      });
    };
    try {
      const running = await start(output, 1);
      while ((await linesLost()) === 0) await assertServes(running, 100);
      const lost = await linesLost();
      const reading = reader();
      const [, said] = await until(
        () => /"lost":(\d+),"msg":"log lines were lost/.exec(text) ?? undefined,
        () => text.slice(-1000),
      );
      assert.ok(Number(said) >= lost, `${said} of ${lost}`);
      assert.equal(await linesLost(), Number(said));
      for (const line of text.slice(0, text.lastIndexOf('\n')).split('\n'))
        if (line.startsWith('{')) JSON.parse(line);
      await assertEnds(running);
      reading.destroy();
    } finally {
      closeSync(output);
    }
  });
});
