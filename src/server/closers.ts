/** How to close what was opened, in order; it is closed from the last to the first. */
export type Opened = (() => Promise<void>)[];

/** Whatever fails on the way, what was opened is closed again. */
export async function openAll<T>(open: (opened: Opened) => Promise<T>): Promise<T> {
  const opened: Opened = [];
  try {
    return await open(opened);
  } catch (error) {
    // What then can't be closed either says less than why it was to be.
    await closeAll(opened).catch(() => undefined);
    throw error;
  }
}

/** Closes the rest, too, where one of them fails. Throws what it threw, or an `AggregateError` of several. */
export async function closeAll(opened: Opened): Promise<void> {
  const failures: unknown[] = [];
  for (const close of opened.splice(0).reverse()) {
    try {
      await close();
    } catch (error) {
      failures.push(error);
    }
  }
  if (failures.length === 1) throw failures[0];
  if (failures.length > 1) throw new AggregateError(failures, failures.map(String).join('; '));
}
