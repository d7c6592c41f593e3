import { readTopology } from '../../cells/current-topology.ts';
import type { Topology } from '../../cells/topology.ts';
import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { type Finding, failed, named, ok, reasonOf, type Verdict, warning } from '../doctor/finding.ts';

/** Reads the topology; undefined where it can't be read, and then each problem is a finding. */
export function checkTopology({ cellsFile, cell }: Config): {
  readonly findings: readonly Finding[];
  readonly topology?: Topology;
} {
  if (cellsFile === null) {
    return {
      findings: [
        named(
          'topology',
          failed(
            'CELLPASS_CELLS_FILE is not set, so there is only one cell: set it to the path of cells.yaml',
          ),
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
    `cells ${ids}; CELLPASS_CELL is ${self}, which is none of them: this is fine on the router's host, but cellpass does not start with it`,
  );
}
