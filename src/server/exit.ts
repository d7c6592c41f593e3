/** Work that libuv's threads do, as `process.getActiveResourcesInfo` names it. */
const THREAD_WORK: ReadonlySet<string> = new Set([
  'FSReqCallback',
  'FSReqPromise',
  'GetAddrInfoReqWrap',
  'GetNameInfoReqWrap',
]);

/** How long libuv's threads may take to finish once everything else is done. */
const LAST_WORK_MS = 1500;

/**
 * Ends this process soon, if something still keeps it alive when all its work is done. `bin/cellpass`
 * does the same a little later, but waits for libuv's threads.
 */
export function exitSoon(): void {
  setTimeout(exitNow, LAST_WORK_MS).unref();
}

/**
 * Ends this process at once, whatever hangs. The exit of Node waits for libuv's threads, for ever if
 * one of them waits for a disk or a name server that does not answer; only SIGKILL ends such a
 * process.
 */
export function exitNow(): void {
  if (process.getActiveResourcesInfo().some((kind) => THREAD_WORK.has(kind)))
    process.kill(process.pid, 'SIGKILL');
  process.exit();
}
