import type { ServerResponse } from 'node:http';

/** Aborted when the connection closes. That may also be after the answer; no code listens then. */
export function clientGone(response: ServerResponse): AbortSignal {
  if (response.closed) return AbortSignal.abort();
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}
