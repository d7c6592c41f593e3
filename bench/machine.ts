import { availableParallelism } from 'node:os';

/** The machine that a benchmark runs on, as the JSON reports give it. */
export interface Machine {
  /** Node's version, such as `v20.20.2`. */
  readonly node: string;
  readonly processors: number;
}

export const MACHINE: Machine = { node: process.version, processors: availableParallelism() };

/** Begins the printed report of each benchmark. */
export function machineInWords({ node, processors }: Machine = MACHINE): string {
  return `Node ${node}, ${processors} processor${processors === 1 ? '' : 's'}`;
}
