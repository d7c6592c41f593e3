import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { writeRouter } from '../../cells/router/configuration.ts';
import type { RouterCell, RouterKey } from '../../cells/router/router.ts';
import { isReachable } from '../../cells/router/servers.ts';
import type { Cell, Topology } from '../../cells/topology.ts';
import { type Config, loadConfig } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';
import { printTable } from '../client/table.ts';
import { reasonOf } from '../doctor/finding.ts';
import { type CellClient, createCellClient } from './ask.ts';
import { readPublishedKeys } from './published-keys.ts';
import { CONFIG_NAME, readIfThere, writeIfChanged, writeRouterFolder } from './router-folder.ts';
import { topologyOf } from './topology-of.ts';

export interface HaproxyOptions {
  readonly output: string;
  readonly bind: readonly string[];
  readonly cert?: string;
  readonly caFile?: string;
  readonly realm?: string;
  readonly service?: string;
  readonly followDns?: boolean;
  /** True: the `haproxy` in the path. */
  readonly check?: string | true;
  readonly json?: boolean;
}

/** What the router verifies the tokens of one cell with. */
interface CellKeys {
  readonly id: number;
  /** `kept`: the cell didn't answer, these are what it published when it last did; `none`: it never did. */
  readonly source: 'published' | 'kept' | 'none';
  readonly keys: readonly RouterKey[];
  readonly warnings: readonly string[];
}

/** What cells published when they last answered, beside the configuration. */
const KEPT_NAME = 'published-keys.json';
/** By the cell's id. */
const keptSets = z.record(z.string(), z.unknown());
type KeptSets = z.output<typeof keptSets>;

/**
 * Writes the router's configuration. A cell that is away keeps the keys that it last published; the warnings say so.
 * @throws {CellpassError} and then has left the last configuration as it was.
 */
export async function writeHaproxy(terminal: Terminal, options: HaproxyOptions): Promise<void> {
  const config = loadConfig(terminal.environment);
  const topology = topologyOf(config);
  const dir = resolve(options.output);
  const fetched = await fetchKeys(topology.cells, dir, options.caFile ?? null);
  const warnings = [...fetched.flatMap((cell) => cell.warnings), ...unreachableIssuers(topology)];
  for (const warning of warnings) terminal.stderr(`warning: ${warning}\n`);
  if (fetched.every(({ keys }) => keys.length === 0)) {
    throw new CellpassError(
      'unavailable',
      'no cell has told its keys, so that every token would be refused: start one',
    );
  }
  const files = writeRouter({
    cells: topology.cells.map((cell) => toRouterCell(cell, fetched)),
    binds: options.bind,
    certificateFile: options.cert === undefined ? null : resolve(options.cert),
    caFile: options.caFile === undefined ? '@system-ca' : resolve(options.caFile),
    realm: options.realm ?? realmOf(config, topology),
    service: options.service ?? config.services[0]?.name ?? '',
    followDns: options.followDns === true,
  });
  const changed = await writeRouterFolder(dir, files, checkerOf(options));
  const result = {
    changed,
    config: join(dir, CONFIG_NAME),
    cells: fetched.map(({ id, source, keys }) => ({ id, keys: keys.length, source })),
    warnings,
  };
  terminal.stdout(options.json ? `${JSON.stringify(result)}\n` : printResult(result));
}

function checkerOf({ check }: HaproxyOptions): string | null {
  return check === undefined ? null : check === true ? 'haproxy' : check;
}

function realmOf({ publicUrl }: Config, { routerUrl }: Topology): string {
  const url = publicUrl ?? routerUrl;
  if (url !== null) return `${url}/jwt/auth`;
  throw new CellpassError(
    'invalid',
    'nothing says where clients get tokens: set CELLPASS_PUBLIC_URL, or give --realm',
  );
}

function toRouterCell(cell: Cell, fetched: readonly CellKeys[]): RouterCell {
  if (cell.registryUrl === null) {
    throw new CellpassError('invalid', `cell ${cell.id} has no registry_url: the router needs it`);
  }
  const keys = fetched.find(({ id }) => id === cell.id)?.keys ?? [];
  return { ...cell, registryUrl: cell.registryUrl, keys };
}

function unreachableIssuers({ cells }: Topology): readonly string[] {
  return cells
    .filter(({ url }) => !isReachable(url))
    .map(
      ({ id, url }) =>
        `cell ${id}: the router sends no token requests to ${url} (a path, or https to an address); the other issuers pass them on`,
    );
}

/** Asks all cells at once, and keeps what they answered for a time when they don't. */
async function fetchKeys(
  cells: readonly Cell[],
  dir: string,
  caFile: string | null,
): Promise<readonly CellKeys[]> {
  const keptFile = join(dir, KEPT_NAME);
  const kept = await readKept(keptFile);
  const client = createCellClient(caFile);
  try {
    const answers = await Promise.all(cells.map((cell) => fetchCell(client, cell, kept)));
    const sets = Object.fromEntries(answers.map(({ id, jwks }) => [id, jwks]));
    await mkdir(dir, { recursive: true });
    await writeIfChanged(keptFile, `${JSON.stringify(sets)}\n`);
    return answers;
  } finally {
    await client.close();
  }
}

async function readKept(file: string): Promise<KeptSets> {
  const text = await readIfThere(file);
  if (text === undefined) return {};
  try {
    return keptSets.parse(JSON.parse(text));
  } catch (cause) {
    throw new CellpassError('invalid', `${file} is damaged: remove it while all cells answer`, { cause });
  }
}

async function fetchCell(
  client: CellClient,
  { id, url }: Cell,
  kept: KeptSets,
): Promise<CellKeys & { readonly jwks: unknown }> {
  try {
    const { status, text } = await client.get(`${url}/.well-known/jwks.json`);
    if (status !== 200) throw new Error(`it answers ${status}`);
    const jwks: unknown = JSON.parse(text);
    const { keys, passedOver } = readPublishedKeys(jwks);
    const warnings =
      passedOver === 0 ? [] : [`cell ${id}: ${passedOver} of its keys are none for RS256, and left out`];
    return { id, source: 'published', keys, warnings, jwks };
  } catch (error) {
    return fallBack(id, `cell ${id}: ${url}/.well-known/jwks.json can't be used (${reasonOf(error)})`, kept);
  }
}

function fallBack(id: number, what: string, kept: KeptSets): CellKeys & { readonly jwks: unknown } {
  const jwks = kept[id];
  if (jwks === undefined) {
    return {
      id,
      source: 'none',
      keys: [],
      warnings: [`${what}, and its keys were never known: its tokens are refused until this is run again`],
      jwks,
    };
  }
  const { keys } = readPublishedKeys(jwks);
  return {
    id,
    source: 'kept',
    keys,
    warnings: [`${what}: the keys that it last published stay in use, also such as it has revoked since`],
    jwks,
  };
}

interface Result {
  readonly changed: boolean;
  readonly config: string;
  readonly cells: readonly CellRow[];
}

interface CellRow {
  readonly id: number;
  readonly keys: number;
  readonly source: CellKeys['source'];
}

function printResult({ changed, config, cells }: Result): string {
  const rows = cells.map(({ id, keys, source }) => [String(id), String(keys), source]);
  const end = changed ? `wrote ${config}: let HAProxy reload\n` : `nothing changed in ${config}\n`;
  return `${printTable(['CELL', 'KEYS', 'SOURCE'], rows)}${end}`;
}
