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
  return isFile(descriptor) ? fileSink(descriptor) : streamSink(openNonBlocking(descriptor));
}

function isFile(descriptor: number): boolean {
  try {
    return fstatSync(descriptor).isFile();
  } catch {
    return false;
  }
}

/** A file can't be non-blocking. A thread of libuv writes it, so that a slow disk stops no request. */
function fileSink(descriptor: number): Sink {
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
 * A pipe, a socket or a terminal. A write that does not block costs less here than passing it to a
 * thread, and a blocked thread would keep the process from exiting.
 */
function streamSink(descriptor: number): Sink {
  const writeNow = (bytes: Buffer): number => writeSync(descriptor, bytes);
  return { pieceBytes: PIPE_BYTES, write: writeNow, writeSync: writeNow };
}

/** Returns a descriptor for the same pipe, socket or terminal on which a write does not block. */
function openNonBlocking(descriptor: number): number {
  const { O_WRONLY, O_NONBLOCK, O_NOCTTY } = constants;
  try {
    // A description of its own, because processes that share the old one may need it to block.
    return openSync(`/proc/self/fd/${descriptor}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  } catch {
    // A socket can't be opened anew, nor can a pipe of another user.
    makeNonBlocking(descriptor);
    return descriptor;
  }
}

/** Node has no fcntl(2). libuv sets O_NONBLOCK when it takes a descriptor; Node resets it at exit. */
function makeNonBlocking(descriptor: number): void {
  try {
    new Socket({ fd: descriptor, readable: false, writable: true }).unref();
  } catch {
    // The descriptor is of a kind that libuv does not know; its writes may block.
  }
}
