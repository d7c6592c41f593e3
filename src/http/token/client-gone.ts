import type { ServerResponse } from 'node:http';

/** Aborted when the connection closes before the answer is out, and also after it, when nobody listens any more. */
export function untilGone(response: ServerResponse): AbortSignal {
  if (response.closed) return AbortSignal.abort();
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  return controller.signal;
}
