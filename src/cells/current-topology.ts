import { readFileSync } from 'node:fs';
import { notUtf8 } from '../config/utf8.ts';
import { CellpassError } from '../errors.ts';
import type { Log } from '../log.ts';
import { NO_SHARES, type ShareStats } from '../shares/turns.ts';
import type { CellView, Requester } from './choose-cell.ts';
import { type Cell, findCell, parseTopology, soleCell, type Topology } from './topology.ts';
import {
  createTopologyService,
  NO_CALLS,
  type TopologyService,
  type TopologyServiceCalls,
  type TopologyServiceStats,
} from './topology-service/client.ts';
import { versionsOf, watchFiles } from './watched-files.ts';

export interface CurrentTopologyOptions {
  /** `cells.yaml`; null: this cell is the only one. */
  readonly file: string | null;
  /** The id of this cell. */
  readonly self: number;
  readonly publicUrl: string;
  /** The audiences of ID tokens that this server takes, which must be those of its cell. */
  readonly audiences?: readonly string[];
  /** What this server's tokens say in `iss`, until it is restarted. */
  readonly issuer?: string;
  readonly log: Pick<Log, 'info' | 'error'>;
  /**
   * The pause between two checks of the file; default 1 s.
   */
  readonly pollMs?: number;
  readonly monotonicMs?: () => number;
}

/** The topology, reloaded whenever its file changes. */
export interface CurrentTopology {
  view(): CellView;
  /** Calls of the Topology Service since the start, across reloads. */
  serviceStats(): TopologyServiceStats;
  /** Of the calls that the current topology's client has open. */
  shareStats(): ShareStats;
  close(): Promise<void>;
}

const POLL_MS = 1000;

/**
 * Opens the topology and reloads it when the file changes. If the changed file is invalid, it logs
 * an error and keeps the last valid topology.
 * @throws {CellpassError} `invalid` if the file is invalid at the start.
 */
export function openTopology(options: CurrentTopologyOptions): CurrentTopology {
  const { file, self, publicUrl, audiences = [], issuer, log } = options;
  const calls = { ...NO_CALLS };
  const createCurrent = (topology: Topology): OwnedView => createView(topology, { ...options, calls });
  const files = file === null ? [] : [file];
  const since = versionsOf(files);
  let current = createCurrent(
    file === null ? soleCell(self, publicUrl, audiences) : readOwnTopology(file, self, audiences),
  );
  const open = {
    view: () => current.view,
    serviceStats: () => ({ ...calls, isAway: current.isAway() }),
    shareStats: () => current.shareStats(),
  };
  if (file === null) return { ...open, close: () => current.close() };
  const retired = createRetired();
  const reload = (): void => {
    try {
      const read = readOwnTopology(file, self, audiences);
      if (issuer !== undefined)
        refuseOtherIssuer(
          file,
          issuer,
          findCell(read, ({ id }) => id === self),
        );
      const next = createCurrent(read);
      retired.add(current);
      current = next;
      log.info({ file, cells: next.view.topology.cells.map(({ id }) => id) }, 'reloaded the topology');
    } catch (error) {
      log.error({ err: error, file }, 'the changed topology is invalid; keeping the last valid one');
    }
  };
  const intervalMs = options.pollMs ?? POLL_MS;
  const unwatch = watchFiles(files, { since, intervalMs, changed: reload });
  return {
    ...open,
    close: async () => {
      unwatch();
      await Promise.all([current.close(), retired.close()]);
    },
  };
}

/**
 * Reads the topology of cell `self`.
 * @throws {CellpassError} `invalid` also where the file gives an audience of this server to another
 *   cell, or to none: its ID tokens would never come here.
 */
export function readOwnTopology(file: string, self: number, audiences: readonly string[]): Topology {
  const topology = readTopology(file, self);
  const own = topology.cells.find(({ id }) => id === self)?.audiences ?? [];
  const missing = audiences.filter((one) => !own.includes(one));
  if (missing.length === 0) return topology;
  throw new CellpassError(
    'invalid',
    `CELLPASS_CELLS_FILE: ${file}: cell ${self} does not list ${missing.join(', ')}, which federation names as audience: add it to the cell's audiences`,
  );
}

/** The router reads the file, too, and would refuse every token of this server. */
function refuseOtherIssuer(file: string, issuer: string, own: Cell): void {
  if (own.issuer === null || own.issuer === issuer) return;
  throw new CellpassError(
    'invalid',
    `CELLPASS_CELLS_FILE: ${file}: cell ${own.id} signs as ${own.issuer}, but this server signs as ${issuer} until it is restarted: restart it`,
  );
}

/** @throws {CellpassError} `invalid`, naming the file. */
export function readTopology(file: string, self: number | null): Topology {
  try {
    const bytes = readFileSync(file);
    const problem = notUtf8(bytes);
    if (problem !== null) throw new CellpassError('invalid', problem);
    return parseTopology(bytes.toString('utf8'), self);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const problems = error instanceof CellpassError ? error.details.problems : undefined;
    throw new CellpassError('invalid', `CELLPASS_CELLS_FILE: ${file}: ${message}`, {
      ...(problems && { problems }),
      cause: error,
    });
  }
}

/** Requests have their answer, and so have asked the Topology Service, within this time. */
const LONGEST_REQUEST_MS = 10_000;

/** Views that are no longer current, which requests that began with them may still use. */
function createRetired(): { add(view: OwnedView): void; close(): Promise<void> } {
  const views = new Map<OwnedView, NodeJS.Timeout>();
  const end = (view: OwnedView): Promise<void> => {
    clearTimeout(views.get(view));
    views.delete(view);
    return view.close();
  };
  return {
    add: (view) => {
      views.set(view, setTimeout(() => void end(view), LONGEST_REQUEST_MS).unref());
    },
    close: async () => {
      await Promise.all([...views.keys()].map(end));
    },
  };
}

interface OwnedView {
  readonly view: CellView;
  isAway(): boolean;
  shareStats(): ShareStats;
  close(): Promise<void>;
}

/**
 * Each topology has its own client of the Topology Service, so a reload drops its cached answers.
 */
function createView(
  topology: Topology,
  {
    self,
    monotonicMs,
    calls,
    log,
  }: Pick<CurrentTopologyOptions, 'self' | 'monotonicMs' | 'log'> & { readonly calls: TopologyServiceCalls },
): OwnedView {
  const listed = new Map(
    topology.cells.flatMap((cell) => cell.namespaces.map((name) => [name, cell] as const)),
  );
  const service =
    topology.topologyService &&
    createTopologyService({ ...topology.topologyService, calls, log, ...(monotonicMs && { monotonicMs }) });
  return {
    view: {
      topology,
      self,
      cellOf: (namespace, requester) =>
        listed.get(namespace) ??
        (service === null ? null : askService({ service, topology, requester }, namespace)),
    },
    isAway: () => service?.isAway() ?? false,
    shareStats: () => service?.shareStats() ?? NO_SHARES,
    close: async () => service?.close(),
  };
}

interface Asking {
  readonly service: TopologyService;
  readonly topology: Topology;
  readonly requester: Requester;
}

async function askService({ service, topology, requester }: Asking, namespace: string): Promise<Cell | null> {
  const host = await service.classify(namespace, requester);
  if (host === null) return null;
  const cell = topology.cells.find(({ topologyHosts }) => topologyHosts.includes(host));
  if (cell !== undefined) return cell;
  throw new CellpassError('unavailable', 'the Topology Service named an unknown cell; try again', {
    reason: 'topology_service',
    cause: new Error(`the Topology Service named ${host}, which is the topology_address of no cell`),
  });
}
