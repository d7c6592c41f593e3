import { isLoopback } from './loopback.ts';

/**
 * Whether only this machine can reach the server by its public URL, so that it is a trial: the
 * credentials of `examples/` work there and nowhere else.
 */
export function isTrial({
  publicUrl,
  listen,
}: {
  readonly publicUrl: string | null;
  readonly listen: { readonly host: string };
}): boolean {
  return isLoopback(publicUrl === null ? listen.host : new URL(publicUrl).hostname);
}
