import { readTopology } from '../../cells/current-topology.ts';
import type { Topology } from '../../cells/topology.ts';
import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';

/** @throws {CellpassError} `invalid` without a topology, or with one that is wrong. */
export function topologyOf({ cellsFile }: Config): Topology {
  if (cellsFile !== null) return readTopology(cellsFile, null);
  throw new CellpassError('invalid', 'CELLPASS_CELLS_FILE is not set: it names the topology, cells.yaml');
}
