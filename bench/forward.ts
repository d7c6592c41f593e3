import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { chooseCell } from '../src/cells/choose-cell.ts';
import { readCredentialForm } from '../src/cells/credential-form.ts';
import { openTopology } from '../src/cells/current-topology.ts';
import { mintRoutableToken } from '../src/cells/routable-token.ts';
import { parseScopes } from '../src/policy/scope.ts';
import { freePort, stopSharedPostgres } from '../test/support/database/postgres.ts';
import { type Cellpass, startCellpass } from '../test/support/e2e/cellpass.ts';
import { type Figures, loadOne, medianFigures } from './load.ts';
import { machineInWords } from './machine.ts';

/**
 * Measures what a request costs that arrives at the wrong cell: two cells run on PostgreSQL, and
 * wrk (from Debian) sends requests to the right one and the wrong one in turns. Then measures how
 * long cellpass takes to choose the cell, without the forwarding.
 */

const TURNS = 4;
const SECONDS = 5;
const CONNECTIONS = 16;
const DECISIONS = 200_000;
const PERCENT = 100;

const token = mintRoutableToken('glpat-', { c: 2n, o: 1n, u: 11n });
const directory = stringify({
  version: 1,
  users: [{ username: 'alice', password: randomBytes(12).toString('hex') }],
  groups: [{ path: 'acme', members: [{ user: 'alice', role: 'developer' }] }],
  projects: [{ path: 'acme/private' }, { path: 'acme/public', visibility: 'public' }],
  access_tokens: [
    { name: 'bench', kind: 'personal', user: 'alice', scopes: ['read_registry', 'write_registry'], token },
  ],
});

interface Case {
  readonly name: string;
  readonly scope: string;
  readonly headers: readonly string[];
}

const BASIC = `Authorization: Basic ${Buffer.from(`alice:${token}`).toString('base64')}`;
const CASES: readonly Case[] = [
  { name: 'a routable token, one scope', scope: 'repository:acme/private:pull,push', headers: [BASIC] },
  { name: 'anonymous, a public image', scope: 'repository:acme/public:pull', headers: [] },
];

function measure(cell: Cellpass, { scope, headers }: Case): Promise<Figures> {
  const url = `${cell.url.replace('localhost', '127.0.0.1')}/jwt/auth?service=container_registry&scope=${encodeURIComponent(scope)}`;
  return loadOne({ url, headers, connections: CONNECTIONS, seconds: SECONDS });
}

function printRow(name: string, { perSecond, p50Ms, p99Ms }: Figures, reference: Figures): void {
  const share = ((PERCENT * perSecond) / reference.perSecond).toFixed(0);
  console.log(
    `| ${name} | ${perSecond.toFixed(0)} | ${p50Ms.toFixed(1)} | ${p99Ms.toFixed(1)} | ${share} % |`,
  );
}

async function measureCellChoice(file: string): Promise<void> {
  const topology = openTopology({
    file,
    self: 1,
    publicUrl: '',
    log: { info: () => undefined, error: () => undefined },
  });
  const { scopes } = parseScopes(['repository:acme/private:pull,push', 'repository:gitlab-org/base:pull']);
  const requester = { network: '127.0.0.1', isKnown: true, gone: () => new AbortController().signal };
  const decide = () => {
    const form = readCredentialForm({ username: 'alice', password: token });
    return chooseCell({ scopes, form, requester }, topology.view());
  };
  const startedAt = performance.now();
  for (let done = 0; done < DECISIONS; done++) await decide();
  const microseconds = ((performance.now() - startedAt) * 1000) / DECISIONS;
  await topology.close();
  console.log(`\nchoosing the cell (token parsed, two scopes looked up): ${microseconds.toFixed(2)} µs`);
}

const dir = await mkdtemp(join(tmpdir(), 'cellpass-forward-'));
const cells: Cellpass[] = [];
try {
  const ports = [await freePort(), await freePort()] as const;
  const file = join(dir, 'cells.yaml');
  const topology = {
    cells: [
      { id: 1, legacy: true, url: `http://127.0.0.1:${ports[0]}`, namespaces: ['gitlab-org'] },
      { id: 2, url: `http://127.0.0.1:${ports[1]}`, namespaces: ['acme'] },
    ],
  };
  await writeFile(file, stringify(topology));
  for (const [at, port] of ports.entries()) {
    const settings = { cell: at + 1, cells_file: file, log_level: 'warn' };
    cells.push(await startCellpass({ services: { container_registry: {} }, directory, settings, port }));
  }
  const [wrong, right] = cells;
  if (wrong === undefined || right === undefined) throw new Error('the bench needs two cells');
  console.log(
    `${machineInWords()}, wrk with ${CONNECTIONS} connections, medians of ${TURNS} turns of ${SECONDS} s\n`,
  );
  console.log('| request | per second | p50 ms | p99 ms | of the right cell |\n|---|---:|---:|---:|---:|');
  for (const one of CASES) {
    const direct: Figures[] = [];
    const forwarded: Figures[] = [];
    for (let turn = 0; turn < TURNS; turn++) {
      direct.push(await measure(right, one));
      forwarded.push(await measure(wrong, one));
    }
    const reference = medianFigures(direct);
    printRow(`${one.name}, at the right cell`, reference, reference);
    printRow(`${one.name}, at the wrong cell`, medianFigures(forwarded), reference);
  }
  await measureCellChoice(file);
} finally {
  for (const cell of cells) await cell.stop();
  await stopSharedPostgres();
  await rm(dir, { recursive: true });
}
