import { readTopology } from '../../cells/current-topology.ts';
import type { Cell, Topology } from '../../cells/topology.ts';
import { type Config, loadConfig } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';
import { judgeChallenge } from '../doctor/challenge.ts';
import {
  check,
  checkAndKeep,
  type Finding,
  failed,
  named,
  ok,
  reasonOf,
  type Verdict,
  warning,
} from '../doctor/finding.ts';
import { isHealth } from '../doctor/public-url.ts';
import { type CellClient, createCellClient } from './ask.ts';
import { readPublishedKeys } from './published-keys.ts';

/** Looks at the topology, and asks everybody in it. Needs no running server; never throws. */
export async function examineCells(
  { environment }: Terminal,
  caFile: string | null,
): Promise<readonly Finding[]> {
  const { finding, value: config } = await checkAndKeep('configuration', async () => {
    const value = loadConfig(environment);
    return { value, verdict: ok('every setting is right') };
  });
  if (config === undefined) return [finding];
  const { findings, topology } = lookAtTopology(config);
  if (topology === undefined) return findings;
  const client = createCellClient(caFile);
  try {
    const cells = await Promise.all(
      topology.cells.map((cell) => examineCell(client, cell, { config, topology })),
    );
    return [
      ...findings,
      ...cells.flatMap(({ findings: ofCell }) => ofCell),
      ...judgeSharedKeys(cells),
      ...(await examineRouter(client, { config, topology })),
    ];
  } finally {
    await client.close();
  }
}

interface Sight {
  readonly config: Config;
  readonly topology: Topology;
}

function lookAtTopology({ cellsFile, cell }: Config): {
  readonly findings: readonly Finding[];
  readonly topology?: Topology;
} {
  if (cellsFile === null) {
    return {
      findings: [
        named(
          'topology',
          failed('CELLPASS_CELLS_FILE is not set, so that there is one cell: let it name cells.yaml'),
        ),
      ],
    };
  }
  try {
    const topology = readTopology(cellsFile, null);
    return { topology, findings: [named('topology', judgeTopology(topology, cell))] };
  } catch (error) {
    const problems = error instanceof CellpassError ? (error.details.problems ?? []) : [];
    if (problems.length === 0) return { findings: [named('topology', failed(reasonOf(error)))] };
    const lines = problems.map(({ line, path, message }) =>
      [cellsFile, line === undefined ? '' : `:${line}`, ': ', path === '' ? '' : `${path}: `, message].join(
        '',
      ),
    );
    return { findings: lines.map((line) => named('topology', failed(line))) };
  }
}

function judgeTopology({ cells }: Topology, self: number): Verdict {
  const ids = cells.map(({ id, legacy }) => (legacy ? `${id} (legacy)` : String(id))).join(', ');
  if (cells.some(({ id }) => id === self)) return ok(`cells ${ids}; this is cell ${self}`);
  return warning(
    `cells ${ids}; CELLPASS_CELL is ${self}, which is none of them: right for a router's machine, and no cellpass starts with it`,
  );
}

interface CellSight {
  readonly id: number;
  readonly thumbprints: readonly string[];
  readonly findings: readonly Finding[];
}

async function examineCell(client: CellClient, cell: Cell, sight: Sight): Promise<CellSight> {
  const name = `cell ${cell.id}`;
  const issuer = await check(`${name} issuer`, () => judgeIssuer(client, cell));
  const { finding: keys, value } = await checkAndKeep(`${name} keys`, async () => {
    const { keys: published } = await publishedKeys(client, cell.url);
    const verdict = ok(`publishes ${published.length === 1 ? '1 key' : `${published.length} keys`}`);
    return { verdict, value: published.map(({ thumbprint }) => thumbprint) };
  });
  const registry = await check(`${name} registry`, () => judgeRegistry(client, cell, sight));
  return {
    id: cell.id,
    thumbprints: value ?? [],
    // An issuer that doesn't answer says nothing of its keys.
    findings: issuer.outcome === 'failed' ? [issuer, registry] : [issuer, keys, registry],
  };
}

async function judgeIssuer(client: CellClient, { url }: Cell): Promise<Verdict> {
  const answer = await client.get(`${url}/readyz`).catch((error: unknown) => reasonOf(error));
  if (typeof answer === 'string') {
    return failed(`${url} can't be reached (${answer}): start it, or correct its url`);
  }
  const { status, text } = answer;
  if (status === 503)
    return failed(
      `${url}/readyz answers 503: it can issue no tokens now; its own "cellpass doctor" says why`,
    );
  if (status === 200 && isHealth(text)) return ok(`${url} issues tokens`);
  return failed(
    `${url}/readyz answers ${status}, and not as cellpass does: correct its url, or what stands before it`,
  );
}

async function publishedKeys(client: CellClient, url: string): Promise<ReturnType<typeof readPublishedKeys>> {
  const { status, text } = await client.get(`${url}/.well-known/jwks.json`);
  if (status !== 200) throw new Error(`${url}/.well-known/jwks.json answers ${status}`);
  return readPublishedKeys(JSON.parse(text));
}

async function judgeRegistry(client: CellClient, { registryUrl }: Cell, sight: Sight): Promise<Verdict> {
  if (registryUrl === null) {
    return sight.topology.routerUrl === null
      ? ok('none is named, and no router needs it')
      : failed('has no registry_url, and "cells haproxy" writes no router without it');
  }
  return judgeAnswer(client, registryUrl, sight, 'registry_url');
}

/** A registry must send clients to the shared host name, for a service that cellpass knows. */
async function judgeAnswer(
  client: CellClient,
  url: string,
  { config, topology }: Sight,
  setting: 'registry_url' | 'router_url',
): Promise<Verdict> {
  const answer = await client.get(`${url}/v2/`).catch((error: unknown) => reasonOf(error));
  if (typeof answer === 'string')
    return failed(`${url} can't be reached (${answer}): start it, or correct its ${setting}`);
  const header = answer.headers['www-authenticate'];
  const challenge = typeof header === 'string' ? header : null;
  return judgeChallenge(
    url,
    { status: answer.status, challenge },
    {
      realm: expectedRealm(config, topology),
      services: config.services.map(({ name }) => name),
      ifOther: `correct its ${setting}`,
      ifOtherService: 'change its service, or CELLPASS_SERVICES',
    },
  );
}

function expectedRealm({ publicUrl }: Config, { routerUrl }: Topology): string | null {
  const url = publicUrl ?? routerUrl;
  return url === null ? null : `${url}/jwt/auth`;
}

/** Whoever holds a key of two cells opens both. */
function judgeSharedKeys(cells: readonly CellSight[]): readonly Finding[] {
  const owners = new Map<string, number>();
  const shared: string[] = [];
  for (const { id, thumbprints } of cells) {
    for (const thumbprint of thumbprints) {
      const owner = owners.get(thumbprint);
      if (owner === undefined) owners.set(thumbprint, id);
      else shared.push(`cells ${owner} and ${id} publish the same key ${thumbprint}`);
    }
  }
  if (shared.length === 0) return [];
  return [
    named(
      'separate keys',
      failed(`${shared.join('; ')}: give each cell a database of its own, or correct its url`),
    ),
  ];
}

async function examineRouter(client: CellClient, sight: Sight): Promise<readonly Finding[]> {
  const { routerUrl } = sight.topology;
  if (routerUrl === null) return [];
  return [
    await check('router', () => judgeAnswer(client, routerUrl, sight, 'router_url')),
    await check('router to issuers', async () => {
      await publishedKeys(client, routerUrl);
      return ok('reaches an issuer');
    }),
  ];
}
