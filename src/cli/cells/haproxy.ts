import { join, resolve } from 'node:path';
import { writeRouter } from '../../cells/router/configuration.ts';
import type { RouterCell } from '../../cells/router/router.ts';
import { isReachable } from '../../cells/router/servers.ts';
import type { Cell, Topology } from '../../cells/topology.ts';
import { type Config, loadConfig } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';
import { toJsonLine } from '../client/admin-command.ts';
import { printTable, whole } from '../client/table.ts';
import { type CellKeys, fetchKeys } from './fetch-keys.ts';
import { warnOfVersion } from './haproxy-version.ts';
import { CONFIG_NAME, writeRouterFolder } from './router-folder.ts';
import { topologyOf } from './topology-of.ts';

export interface HaproxyOptions {
  readonly output: string;
  readonly bind: readonly string[];
  readonly cert?: string;
  readonly caFile?: string;
  readonly realm?: string;
  readonly service?: string;
  readonly followDns?: boolean;
  readonly sourceConnections: number;
  readonly sourceRequests: number;
  readonly sourceRefusals: number;
  /** A program; true is the `haproxy` in the PATH. */
  readonly check?: string | true;
  readonly json?: boolean;
}

/**
 * Writes the router's configuration. For a cell that does not answer it uses the keys that the cell
 * last published, and prints a warning.
 * @throws {CellpassError} and then the last configuration is still in place.
 */
export async function writeHaproxy(terminal: Terminal, options: HaproxyOptions): Promise<void> {
  const config = loadConfig(terminal.environment);
  const topology = topologyOf(config);
  const dir = resolve(options.output);
  const fetched = await fetchKeys(topology.cells, dir, options.caFile ?? null);
  const checker = checkerOf(options);
  const oldHaproxy = checker === null ? null : await warnOfVersion(checker);
  const warnings = [
    ...fetched.flatMap((cell) => cell.warnings),
    ...unreachableIssuers(topology),
    ...(oldHaproxy === null ? [] : [oldHaproxy]),
  ];
  for (const warning of warnings) terminal.stderr(`warning: ${warning}\n`);
  if (fetched.every(({ keys }) => keys.length === 0)) {
    throw new CellpassError(
      'unavailable',
      'no cell answers with its keys, so the router would refuse every token: start the cells, or correct their urls',
    );
  }
  const files = writeRouter({
    cells: topology.cells.map((cell) => toRouterCell(cell, config, fetched)),
    binds: options.bind,
    certificateFile: options.cert === undefined ? null : resolve(options.cert),
    caFile: options.caFile === undefined ? '@system-ca' : resolve(options.caFile),
    realm: options.realm ?? realmOf(config, topology),
    service: options.service ?? config.services[0]?.name ?? '',
    followDns: options.followDns === true,
    sources: {
      connections: options.sourceConnections,
      requests: options.sourceRequests,
      refusals: options.sourceRefusals,
    },
  });
  const changed = await writeRouterFolder(dir, files, checker);
  const result = {
    changed,
    config: join(dir, CONFIG_NAME),
    cells: fetched.map(({ id, source, keys }) => ({ id, keys: keys.length, source })),
    warnings,
  };
  terminal.stdout(options.json ? toJsonLine(result) : printResult(result));
}

function checkerOf({ check }: HaproxyOptions): string | null {
  return check === undefined ? null : check === true ? 'haproxy' : check;
}

function realmOf({ publicUrl }: Config, { routerUrl }: Topology): string {
  const url = publicUrl ?? routerUrl;
  if (url !== null) return `${url}/jwt/auth`;
  throw new CellpassError(
    'invalid',
    'the URL from which clients get tokens is unknown: set CELLPASS_PUBLIC_URL, or give --realm',
  );
}

function toRouterCell(cell: Cell, config: Config, fetched: readonly CellKeys[]): RouterCell {
  if (cell.registryUrl === null) {
    throw new CellpassError(
      'invalid',
      `cell ${cell.id} has no registry_url, which the router needs: add it to cells.yaml`,
    );
  }
  const keys = fetched.find(({ id }) => id === cell.id)?.keys ?? [];
  const issuer = cell.issuer ?? (config.issuerIsSet ? config.issuer : null);
  return { ...cell, registryUrl: cell.registryUrl, issuer, keys };
}

function unreachableIssuers({ cells }: Topology): readonly string[] {
  return cells
    .filter(({ url }) => !isReachable(url))
    .map(
      ({ id, url }) =>
        `cell ${id}: the router can't send token requests to ${url}, because it has a path, or is https to an IP address; the other issuers forward them`,
    );
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
  const summary = changed ? `wrote ${config}: reload HAProxy\n` : `nothing changed in ${config}\n`;
  return `${printTable(['CELL', 'KEYS', 'SOURCE'].map(whole), rows)}${summary}`;
}
