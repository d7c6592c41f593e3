import { readFileSync, unwatchFile, watchFile } from 'node:fs';
import { CellpassError } from '../errors.ts';
import type { CellView } from './choose-cell.ts';
import { type Cell, parseTopology, soleCell, type Topology } from './topology.ts';
import {
  createTopologyService,
  NO_CALLS,
  type TopologyService,
  type TopologyServiceCalls,
  type TopologyServiceUse,
} from './topology-service.ts';

export interface TopologyLog {
  info(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface CurrentTopologyOptions {
  /** `cells.yaml`; null: this cell is the only one. */
  readonly file: string | null;
  /** The id of this cell. */
  readonly self: number;
  readonly publicUrl: string;
  readonly log: TopologyLog;
  /** How often the file is looked at; a folder that is watched tells nothing of what a symbolic link in it points to. */
  readonly pollMs?: number;
  readonly monotonicMs?: () => number;
}

/** The topology as it is by now. */
export interface CurrentTopology {
  view(): CellView;
  /** Of the Topology Service, whichever it is by now. */
  serviceUse(): TopologyServiceUse;
  close(): Promise<void>;
}

const POLL_MS = 1000;

/**
 * Follows the file. A change that is wrong is said in the log, and the last good one stays in use.
 * @throws {CellpassError} `invalid` when the file is wrong from the start.
 */
export function openTopology(options: CurrentTopologyOptions): CurrentTopology {
  const { file, self, publicUrl, log } = options;
  const calls = { ...NO_CALLS };
  const createCurrent = (topology: Topology): OwnedView => createView(topology, { ...options, calls });
  let current = createCurrent(file === null ? soleCell(self, publicUrl) : readTopology(file, self));
  const open = {
    view: () => current.view,
    serviceUse: () => ({ ...calls, isAway: current.isAway() }),
  };
  if (file === null) return { ...open, close: () => current.close() };
  const reload = (): void => {
    try {
      const next = createCurrent(readTopology(file, self));
      void current.close();
      current = next;
      log.info({ file, cells: next.view.topology.cells.map(({ id }) => id) }, 'read the topology again');
    } catch (error) {
      log.error({ err: error, file }, 'the topology can not be used; keeping the last good one');
    }
  };
  watchFile(file, { interval: options.pollMs ?? POLL_MS, persistent: false }, reload);
  return {
    ...open,
    close: async () => {
      unwatchFile(file, reload);
      await current.close();
    },
  };
}

/** @throws {CellpassError} `invalid`, naming the file. */
export function readTopology(file: string, self: number | null): Topology {
  try {
    return parseTopology(readFileSync(file, 'utf8'), self);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const problems = error instanceof CellpassError ? error.details.problems : undefined;
    throw new CellpassError('invalid', `CELLPASS_CELLS_FILE: ${file}: ${message}`, {
      ...(problems && { problems }),
      cause: error,
    });
  }
}

interface OwnedView {
  readonly view: CellView;
  isAway(): boolean;
  close(): Promise<void>;
}

/** What was learned with one topology is forgotten with it. */
function createView(
  topology: Topology,
  {
    self,
    monotonicMs,
    calls,
  }: Pick<CurrentTopologyOptions, 'self' | 'monotonicMs'> & { readonly calls: TopologyServiceCalls },
): OwnedView {
  const listed = new Map(
    topology.cells.flatMap((cell) => cell.namespaces.map((name) => [name, cell] as const)),
  );
  const service =
    topology.topologyService &&
    createTopologyService({ ...topology.topologyService, calls, ...(monotonicMs && { monotonicMs }) });
  return {
    view: {
      topology,
      self,
      cellOf: (namespace) =>
        listed.get(namespace) ?? (service === null ? null : askService(service, topology, namespace)),
    },
    isAway: () => service?.isAway() ?? false,
    close: async () => service?.close(),
  };
}

async function askService(
  service: TopologyService,
  { cells }: Topology,
  namespace: string,
): Promise<Cell | null> {
  const address = await service.classify(namespace);
  if (address === null) return null;
  const cell = cells.find(({ url }) => new URL(url).host === address);
  if (cell !== undefined) return cell;
  throw new CellpassError('unavailable', 'a cell that is not in the topology was named; try again', {
    reason: 'topology_service',
    cause: new Error(`the Topology Service named ${address}, which is the host of no cell's url`),
  });
}
