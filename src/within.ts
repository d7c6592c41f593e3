/**
 * Waits for `work`, but no longer than `timeoutMs`; the work then goes on alone. For what must not
 * hold up an exit: a server that hangs never confirms the end of a connection.
 */
export async function within(timeoutMs: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, timeoutMs);
  });
  await Promise.race([work, timeUp]).finally(() => clearTimeout(timer));
}
