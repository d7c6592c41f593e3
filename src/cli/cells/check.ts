import type { Cell, Topology } from '../../cells/topology.ts';
import { type Config, loadConfig } from '../../config/load.ts';
import type { Terminal } from '../../terminal.ts';
import { judgeChallenge } from '../doctor/challenge.ts';
import {
  check,
  checkWithValue,
  type Finding,
  failed,
  named,
  ok,
  reasonOf,
  type Verdict,
} from '../doctor/finding.ts';
import { isHealth } from '../doctor/public-url.ts';
import { type CellClient, createCellClient } from './cell-client.ts';
import { checkTopology } from './check-topology.ts';
import { readPublishedKeys } from './published-keys.ts';

/**
 * Checks the topology, and asks every issuer and registry in it. Needs no running server; never
 * throws.
 */
export async function examineCells(
  { environment }: Terminal,
  caFile: string | null,
): Promise<readonly Finding[]> {
  const { finding, value: config } = await checkWithValue('configuration', async () => {
    const value = loadConfig(environment);
    return { value, verdict: ok('every setting is valid') };
  });
  if (config === undefined) return [finding];
  const { findings: ofFile, topology } = checkTopology(config);
  if (topology === undefined) return ofFile;
  const findings = [...ofFile, ...judgeOwnIssuer(config, topology)];
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

/** Registries and the router would refuse every token of a cell that signs as another. */
function judgeOwnIssuer({ issuer, issuerIsSet, cell }: Config, { cells }: Topology): readonly Finding[] {
  const given = cells.find(({ id }) => id === cell)?.issuer ?? null;
  if (given === null || !issuerIsSet || given === issuer) return [];
  return [
    named(
      `cell ${cell} iss`,
      failed(`cells.yaml says ${given}, and CELLPASS_ISSUER ${issuer}: make them equal, or unset one`),
    ),
  ];
}

interface Setup {
  readonly config: Config;
  readonly topology: Topology;
}

interface CheckedCell {
  readonly id: number;
  readonly thumbprints: readonly string[];
  readonly findings: readonly Finding[];
}

async function examineCell(client: CellClient, cell: Cell, setup: Setup): Promise<CheckedCell> {
  const name = `cell ${cell.id}`;
  const issuer = await check(`${name} issuer`, () => judgeIssuer(client, cell));
  const { finding: keys, value } = await checkWithValue(`${name} keys`, async () => {
    const { keys: published } = await publishedKeys(client, cell.url);
    const verdict = ok(`publishes ${published.length === 1 ? '1 key' : `${published.length} keys`}`);
    return { verdict, value: published.map(({ thumbprint }) => thumbprint) };
  });
  const registry = await check(`${name} registry`, () => judgeRegistry(client, cell, setup));
  return {
    id: cell.id,
    thumbprints: value ?? [],
    // Without an answer from the issuer there is nothing to say about its keys.
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
      `${url}/readyz answers 503: it can't issue tokens now; run "cellpass doctor" on its host to see why`,
    );
  if (status === 200 && isHealth(text)) return ok(`${url} issues tokens`);
  return failed(
    `${url}/readyz answers ${status}, which is not an answer of cellpass: correct its url, or the proxy in front of it`,
  );
}

async function publishedKeys(client: CellClient, url: string): Promise<ReturnType<typeof readPublishedKeys>> {
  const { status, text } = await client.get(`${url}/.well-known/jwks.json`);
  if (status !== 200) throw new Error(`${url}/.well-known/jwks.json answers ${status}`);
  return readPublishedKeys(JSON.parse(text));
}

async function judgeRegistry(client: CellClient, { registryUrl }: Cell, setup: Setup): Promise<Verdict> {
  if (registryUrl === null) {
    return setup.topology.routerUrl === null
      ? ok('no registry_url is set, and no router needs it')
      : failed('no registry_url is set, and "cellpass cells haproxy" needs it: add it to cells.yaml');
  }
  return judgeAnswer(client, registryUrl, setup, 'registry_url');
}

/** A registry must send clients to the shared host name, for a service that cellpass knows. */
async function judgeAnswer(
  client: CellClient,
  url: string,
  { config, topology }: Setup,
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

/** A leaked key that two cells share would open both. */
function judgeSharedKeys(cells: readonly CheckedCell[]): readonly Finding[] {
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

async function examineRouter(client: CellClient, setup: Setup): Promise<readonly Finding[]> {
  const { routerUrl } = setup.topology;
  if (routerUrl === null) return [];
  return [
    await check('router', () => judgeAnswer(client, routerUrl, setup, 'router_url')),
    await check('router to issuers', async () => {
      await publishedKeys(client, routerUrl);
      return ok('the router reaches an issuer');
    }),
  ];
}
