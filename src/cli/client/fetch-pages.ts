/** A page of the admin API. */
interface Page<T> {
  readonly entries: T[];
  /** Null or missing on the last page. */
  readonly next?: string | null | undefined;
}

/** What a command prints: `next` is missing where the list ends. */
interface PrintedPage<T> {
  readonly entries: T[];
  readonly next?: string;
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
  after?: string,
): Promise<PrintedPage<T>> {
  const entries: T[] = [];
  let next = after;
  do {
    const page: Page<T> = await fetchPage({
      limit: Math.min(LONGEST_PAGE, limit - entries.length),
      ...(next !== undefined && { after: next }),
    });
    entries.push(...page.entries);
    next = page.next ?? undefined;
  } while (next !== undefined && entries.length < limit);
  return { entries, ...(next !== undefined && { next }) };
}
