interface Page<T> {
  readonly entries: T[];
  /** Null on the last page. */
  readonly next: string | null;
}

/** The most entries that the server gives on one page. */
const LONGEST_PAGE = 1000;

/**
 * Fetches pages until there are `limit` entries, or no more pages. `next` says where the rest
 * begins.
 * @param after where to begin: the `next` of other pages.
 */
export async function fetchPages<T>(
  limit: number,
  fetchPage: (place: { readonly limit: number; readonly after?: string }) => Promise<Page<T>>,
  after: string | null = null,
): Promise<Page<T>> {
  const entries: T[] = [];
  let next = after;
  do {
    const page: Page<T> = await fetchPage({
      limit: Math.min(LONGEST_PAGE, limit - entries.length),
      ...(next !== null && { after: next }),
    });
    entries.push(...page.entries);
    next = page.next;
  } while (next !== null && entries.length < limit);
  return { entries, next };
}
