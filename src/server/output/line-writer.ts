import { setTimeout as delay } from 'node:timers/promises';
import type { Sink } from './sink.ts';

export interface LineWriterOptions {
  /** How much may wait to be written, in bytes. */
  readonly maxBytes: number;
  /** Writes as soon as this many bytes wait; 0: each line at once. */
  readonly flushBytes: number;
  /** How long fewer bytes wait. */
  readonly flushMs: number;
  /** Called with the number of lines that were lost, when lines can be written again. */
  readonly onLost: (lines: number) => void;
}

interface Piece {
  text: string;
  bytes: number;
}

const FIRST_PAUSE_MS = 10;
const LONGEST_PAUSE_MS = 1000;
/** For the last lines, when the process exits while its reader is slow. */
const LAST_TRIES = 20;
const LAST_PAUSE_MS = 10;

/**
 * Writes lines behind the requests. `write` never fails and never waits: a line is queued, or the
 * queue is full and the line is lost and counted. After any error of the sink (a full disk, a reader
 * that hangs or is gone) the writer retries with pauses.
 */
export class LineWriter {
  readonly #sink: Sink;
  readonly #options: LineWriterOptions;
  readonly #pieces: Piece[] = [];
  /** What is left of the first piece, once some of it was written. */
  #rest: Buffer | null = null;
  #waitingBytes = 0;
  #isDraining = false;
  #drained: Promise<void> = Promise.resolve();
  /** A thread of libuv is writing the first piece. */
  #isWriting = false;
  /** That thread's last write failed, so that another one may block. */
  #isRefused = false;
  #timer: NodeJS.Timeout | undefined;
  #lost = 0;
  #unreported = 0;

  constructor(sink: Sink, options: LineWriterOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  /** @param text one line or several, with their line ends. */
  write(text: string): void {
    const bytes = Buffer.byteLength(text);
    if (this.#waitingBytes + bytes > this.#options.maxBytes) {
      this.#lost += 1;
      this.#unreported += 1;
      return;
    }
    this.#queue(text, bytes);
    if (this.#isDraining) return;
    if (this.#waitingBytes > this.#options.flushBytes) this.#startDrain();
    else this.#timer ??= setTimeout(() => this.#startDrain(), this.#options.flushMs).unref();
  }

  /** How many lines were lost so far. */
  lost(): number {
    return this.#lost;
  }

  /** Resolves when all that waits is written, or after `timeoutMs`. */
  async flush(timeoutMs: number): Promise<void> {
    this.#startDrain();
    let overdue: NodeJS.Timeout | undefined;
    const timeUp = new Promise<void>((resolve) => {
      overdue = setTimeout(resolve, timeoutMs);
    });
    await Promise.race([this.#drained, timeUp]);
    clearTimeout(overdue);
  }

  /** Writes what waits, in a bounded time; for the exit of the process. Never throws. */
  flushSync(): void {
    // The next piece must not overtake the one that a thread is writing.
    if (this.#isWriting || this.#isRefused) return;
    for (let tries = 0; tries < LAST_TRIES; tries++) {
      try {
        while (this.#pieces.length > 0) this.#advance(this.#sink.writeSync(this.#first()));
        return;
      } catch (error) {
        if (!isTemporary(error)) return;
        sleep(LAST_PAUSE_MS);
      }
    }
  }

  #queue(text: string, bytes: number): void {
    const last = this.#pieces.at(-1);
    const isOnItsWay = this.#isDraining && this.#pieces.length === 1;
    if (last !== undefined && !isOnItsWay && last.bytes + bytes <= this.#sink.pieceBytes) {
      last.text += text;
      last.bytes += bytes;
    } else this.#pieces.push({ text, bytes });
    this.#waitingBytes += bytes;
  }

  #startDrain(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#drained = this.#drain();
  }

  async #drain(): Promise<void> {
    let pauseMs = FIRST_PAUSE_MS;
    while (this.#pieces.length > 0) {
      try {
        const written = this.#sink.write(this.#first());
        this.#advance(typeof written === 'number' ? written : await this.#whileWriting(written));
        pauseMs = FIRST_PAUSE_MS;
      } catch {
        await delay(pauseMs, undefined, { ref: false });
        pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      }
    }
    this.#isDraining = false;
  }

  async #whileWriting(written: Promise<number>): Promise<number> {
    this.#isWriting = true;
    this.#isRefused = true;
    try {
      const count = await written;
      this.#isRefused = false;
      return count;
    } finally {
      this.#isWriting = false;
    }
  }

  #first(): Buffer {
    this.#rest ??= Buffer.from(this.#pieces[0]?.text ?? '');
    return this.#rest;
  }

  #advance(written: number): void {
    const rest = this.#first();
    if (written < rest.length) {
      this.#rest = rest.subarray(written);
      return;
    }
    this.#rest = null;
    this.#waitingBytes -= this.#pieces.shift()?.bytes ?? 0;
    // Half of the queue must be free, so that a slow reader does not get one report for each piece.
    if (this.#unreported > 0 && this.#waitingBytes <= this.#options.maxBytes / 2) {
      const lines = this.#unreported;
      this.#unreported = 0;
      this.#options.onLost(lines);
    }
  }
}

function isTemporary(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'EAGAIN' || error.code === 'EBUSY');
}

/** Blocks this thread, which has nothing else to do at the exit. */
function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
