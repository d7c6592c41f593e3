import { constants, fstatSync, openSync, write, writeSync } from 'node:fs';
import { Socket } from 'node:net';

/** Where bytes go. A write never stops the event loop, even if the other end hangs. */
export interface Sink {
  /** The largest piece, in bytes, that is written without another process's text inside it. */
  readonly pieceBytes: number;
  /**
   * Writes the bytes, or the first of them, and returns how many.
   * @throws the error of the system: EAGAIN while the reader is slow, ENOSPC, EPIPE and others.
   */
  write(bytes: Buffer): number | Promise<number>;
  /** The same at the exit of the process, where nothing asynchronous runs any more. */
  writeSync(bytes: Buffer): number;
}

/** PIPE_BUF of Linux: a pipe takes that much whole or not at all, see pipe(7). */
const PIPE_BYTES = 4096;
const FILE_BYTES = 16_384;

/** Opens a file descriptor of this process for writing. */
export function openSink(descriptor: number): Sink {
  if (isFile(descriptor)) return threadSink(descriptor);
  const own = openNonBlocking(descriptor);
  return own === null ? sharedSink(descriptor) : streamSink(own);
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}

/**
 * Returns a descriptor of its own for the same pipe or terminal, on which a write does not block.
 * Null where there is none: for a socket, and for a pipe of another user.
 */
function openNonBlocking(descriptor: number): number | null {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    return openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    return null;
  }
}

/**
 * A pipe or a terminal. A write that does not block costs less here than passing it to a thread, and
 * a blocked thread would keep the process from exiting.
 */
function streamSink(descriptor: number): Sink {
  const writeNow = (bytes: Buffer): number => writeSync(descriptor, bytes);
  return { pieceBytes: PIPE_BYTES, write: writeNow, writeSync: writeNow };
}

/** A thread of libuv writes, so that a slow disk stops no request: a file can't be non-blocking. */
function threadSink(descriptor: number): Sink {
  return {
    pieceBytes: FILE_BYTES,
    write: (bytes) =>
      new Promise((resolve, reject) => {
        write(descriptor, bytes, (error, written) => (error === null ? resolve(written) : reject(error)));
      }),
    writeSync: (bytes) => writeSync(descriptor, bytes),
  };
}

/**
 * A socket, such as journald's. Whether it blocks is a property that all processes share, and that
 * libuv resets when it starts a child, and Node when it exits. So each write makes it non-blocking,
 * and a thread writes, in case another process has just made it block again.
 */
function sharedSink(descriptor: number): Sink {
  const { write: writeByThread, ...sink } = threadSink(descriptor);
  return {
    ...sink,
    write(bytes) {
      makeNonBlocking(descriptor);
      return writeByThread(bytes);
    },
  };
}

/** Node has no fcntl(2), but libuv sets O_NONBLOCK when it takes a descriptor. */
function makeNonBlocking(descriptor: number): void {
  // libuv would close any other descriptor with its handle.
  if (descriptor > 2) return;
  try {
    new Socket({ fd: descriptor, readable: false, writable: true }).destroy();
  } catch {
    // The descriptor is of a kind that libuv does not know; its writes may block.
  }
}
