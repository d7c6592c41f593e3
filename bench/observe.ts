import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { stopSharedPostgres } from '../test/support/database/postgres.ts';
import { type Cellpass, startCellpass } from '../test/support/e2e/cellpass.ts';
import { makeGitlab } from '../test/support/gitlab/server.ts';
import { type Figures, loadOne, medianFigures } from './load.ts';
import { machineInWords } from './machine.ts';

/**
 * Measures how much later a client gets the answer of Rails when cellpass observes. wrk (from Debian)
 * asks a stand-in for Rails, which answers after 20 ms, directly and through cellpass in turns:
 * passing on alone, and comparing by GitLab's database.
 */

const TURNS = 3;
const SECONDS = 5;
const CONNECTIONS = 8;
const RAILS_MS = 20;
const COMPANY = new URL('../examples/acme.yaml', import.meta.url);
const BASIC = `Authorization: Basic ${Buffer.from('alice:glpat-example-alice-laptop-0001').toString('base64')}`;
const PATH = '/jwt/auth?service=container_registry&scope=repository:acme/platform/api:pull';

const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const CLAIMS = { access: [], auth_type: 'none', aud: 'container_registry', exp: 1 };
const ANSWER = JSON.stringify({ token: `${encode({ alg: 'RS256' })}.${encode(CLAIMS)}.c2ln` });

const rails = createServer((_request, response) => {
  setTimeout(() => {
    response.writeHead(200, { 'Content-Type': 'application/json' }).end(ANSWER);
  }, RAILS_MS);
});

function measure(url: string): Promise<Figures> {
  const base = url.replace('localhost', '127.0.0.1');
  return loadOne({ url: `${base}${PATH}`, headers: [BASIC], connections: CONNECTIONS, seconds: SECONDS });
}

const running: Cellpass[] = [];
try {
  rails.listen(0, '127.0.0.1');
  await once(rails, 'listening');
  const railsUrl = `http://127.0.0.1:${(rails.address() as AddressInfo).port}`;
  const company = await readFile(COMPANY, 'utf8');
  const observing = { rails_url: railsUrl, mode: 'observe' };
  const services = { container_registry: {} };
  const gitlab = await makeGitlab(company);
  const settings = { log_level: 'warn' };
  const start = async (section: object): Promise<Cellpass> => {
    const cellpass = await startCellpass({ services, directory: company, gitlab: section, settings });
    running.push(cellpass);
    return cellpass;
  };
  const passing = await start(observing);
  const comparing = await start({ ...gitlab, ...observing });
  const figures = { direct: [], passing: [], comparing: [] } as Record<string, Figures[]>;
  for (let turn = 0; turn < TURNS; turn++) {
    figures['direct']?.push(await measure(railsUrl));
    figures['passing']?.push(await measure(passing.url));
    figures['comparing']?.push(await measure(comparing.url));
  }
  console.log(
    `${machineInWords()}, wrk with ${CONNECTIONS} connections, medians of ${TURNS} turns of ${SECONDS} s\n`,
  );
  console.log('| asked | per second | p50 ms | p99 ms | added at p50 ms |\n|---|---:|---:|---:|---:|');
  const reference = medianFigures(figures['direct'] ?? []);
  for (const [name, words] of [
    ['direct', `Rails itself, which takes ${RAILS_MS} ms`],
    ['passing', 'cellpass, which only passes on'],
    ['comparing', "cellpass, which compares by GitLab's database"],
  ] as const) {
    const { perSecond, p50Ms, p99Ms } = medianFigures(figures[name] ?? []);
    const added = (p50Ms - reference.p50Ms).toFixed(1);
    console.log(
      `| ${words} | ${perSecond.toFixed(0)} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${added} |`,
    );
  }
} finally {
  for (const cellpass of running) await cellpass.stop();
  rails.closeAllConnections();
  rails.close();
  await stopSharedPostgres();
}
