import { readTopology } from '../../cells/current-topology.ts';
import type { Topology } from '../../cells/topology.ts';
import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';

/**
 * Reads the topology that the settings name.
 * @throws {CellpassError} `invalid` when no topology is set, or when it has problems.
 */
export function topologyOf({ cellsFile }: Config): Topology {
  if (cellsFile !== null) return readTopology(cellsFile, null);
  throw new CellpassError(
    'invalid',
    'CELLPASS_CELLS_FILE is not set: set it to the path of cells.yaml, which lists the cells',
  );
}
