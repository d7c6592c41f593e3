/** One function for each resource that is open, in the order in which they were opened. */
export type Closers = (() => Promise<void>)[];

/**
 * Runs `open`. When it throws, this closes what `open` has opened so far, and throws the same
 * error.
 */
export async function openAll<T>(open: (closers: Closers) => Promise<T>): Promise<T> {
  const closers: Closers = [];
  try {
    return await open(closers);
  } catch (error) {
    // The first error says why the start failed; an error while closing would hide it.
    await closeAll(closers).catch(() => undefined);
    throw error;
  }
}

/**
 * Closes everything, the last opened first, and goes on when one of them fails. Empties `closers`,
 * so a second call does nothing.
 * @throws the one error, or an `AggregateError` when several failed.
 */
export async function closeAll(closers: Closers): Promise<void> {
  const failures: unknown[] = [];
  for (const close of closers.splice(0).reverse()) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join('; '));
}
