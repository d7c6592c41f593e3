import cluster from 'node:cluster';
import { isatty } from 'node:tty';
import { pino } from 'pino';
import type { Config } from '../config/load.ts';
import type { Log } from '../log.ts';
import { LineWriter } from './output/line-writer.ts';
import { openSink } from './output/sink.ts';
import { readableLine } from './readable-line.ts';

/** File descriptors. */
export const STDOUT = 1;
export const STDERR = 2;

/**
 * A system call for each line would cost as much as the decision that it reports, so lines wait up
 * to 100 ms for others. What may wait lasts a busy process for some seconds of a reader that hangs.
 */
const LOG_BUFFER = { flushBytes: 12_288, flushMs: 100, maxBytes: 4_194_304 } as const;
/** A person reads each line at once. */
const TERMINAL_BUFFER = { ...LOG_BUFFER, flushBytes: 0 } as const;
/** How long the last lines may take before the process exits. */
const LAST_LINES_MS = 1000;

/**
 * The server's log. Logging never fails and never waits for the reader: lines that can't be written
 * wait in a bounded queue; when it is full, lines are lost and counted.
 */
export interface ServerLog extends Log {
  /** How many lines were lost so far. */
  linesLost(): number;
  /** Writes a text that is no log line, in its order among the lines. */
  print(text: string): void;
  /** Resolves when all lines are written, or after a second. */
  flush(): Promise<void>;
}

/** JSON lines, or on a terminal lines for people. */
export function createLog({ logLevel }: Pick<Config, 'logLevel'>, descriptor: number): ServerLog {
  const isTerminal = isatty(descriptor);
  const writer = new LineWriter(openSink(descriptor), {
    ...(isTerminal ? TERMINAL_BUFFER : LOG_BUFFER),
    onLost: (lost) => logger.warn({ lost }, 'log lines were lost, because they could not be written in time'),
  });
  const logger = pino(
    {
      level: logLevel,
      base: cluster.isWorker ? { worker: cluster.worker?.id } : null,
      timestamp: pino.stdTimeFunctions.isoTime,
    },
    { write: (line) => writer.write(isTerminal ? readableLine(line) : line) },
  );
  process.on('exit', () => writer.flushSync());
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
    linesLost: () => writer.lost(),
    print: (text) => writer.write(text),
    flush: () => writer.flush(LAST_LINES_MS),
  };
}
