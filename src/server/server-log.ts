import cluster from 'node:cluster';
import { isatty } from 'node:tty';
import { pino } from 'pino';
import type { Config } from '../config/load.ts';
import type { Log } from '../log.ts';
import { readableLine } from './readable-line.ts';

/** File descriptors. */
export const STDOUT = 1;
export const STDERR = 2;

/**
 * Bytes, and milliseconds between writes. A system call for each line would cost as much as the
 * decision that it reports. When a reader falls behind, lines are dropped, so that the server does
 * not run out of memory.
 */
const LOG_BUFFER = { minLength: 12_288, periodicFlush: 100, maxLength: 16_777_216 } as const;

/** The server's log: JSON lines, or on a terminal lines for people. */
export function createLog({ logLevel }: Pick<Config, 'logLevel'>, descriptor: number): Log {
  const options = {
    level: logLevel,
    base: cluster.isWorker ? { worker: cluster.worker?.id } : null,
    timestamp: pino.stdTimeFunctions.isoTime,
  };
  if (!isatty(descriptor)) {
    return pino(options, pino.destination({ dest: descriptor, sync: false, ...LOG_BUFFER }));
  }
  // Written at once, so that lines of the log and of the command appear in the order in which they
  // were written.
  const terminal = pino.destination({ dest: descriptor, sync: true });
  return pino(options, { write: (line) => terminal.write(readableLine(line)) });
}
