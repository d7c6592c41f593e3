import { CellpassError } from '../../../errors.ts';
import type { Kept } from './kept.ts';

/** What GitLab's upgrades do to its database while cellpass reads it. */

/** The database answers, but what it has is of no use, or this role may not read it. */
export function unfit(message: string, cause?: unknown): CellpassError {
  return new CellpassError('unavailable', message, {
    reason: 'gitlab_unfit',
    retryAfterSeconds: 1,
    ...(cause !== undefined && { cause }),
  });
}

export function isUnfit(error: unknown): boolean {
  return error instanceof CellpassError && error.reason === 'gitlab_unfit';
}

/**
 * Does `work` with what is known of a database. Where an upgrade of GitLab has changed that, looks
 * anew, once, and tries again.
 */
export async function withCurrent<State, T>(
  state: Pick<Kept<State>, 'get' | 'renew'>,
  work: (known: State) => Promise<T>,
): Promise<T> {
  const known = await state.get();
  try {
    return await work(known);
  } catch (error) {
    if (!hasChanged(error)) throw error;
  }
  try {
    return await work(await state.renew(known));
  } catch (error) {
    throw hasChanged(error) ? unfit(`GitLab's database has changed: ${causeOf(error)}`, error) : error;
  }
}

/**
 * SQLSTATEs of a statement that no longer fits its tables: no such column, no such table, no right
 * to it any more, and a prepared statement whose result would have other columns.
 */
const CHANGED: ReadonlySet<string> = new Set(['42703', '42P01', '42501', '0A000']);

export function hasChanged(error: unknown): boolean {
  return !isUnfit(error) && CHANGED.has(sqlStateOf(error) ?? '');
}

export function sqlStateOf(error: unknown): string | undefined {
  const cause = error instanceof CellpassError ? error.details.cause : error;
  return cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
}

export function causeOf(error: unknown): string {
  const cause = error instanceof CellpassError ? error.details.cause : error;
  return cause instanceof Error ? cause.message : String(cause);
}
