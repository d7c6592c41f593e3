interface Page<T> {
  readonly tokens: T[];
  /** Null on the last page. */
  readonly next: string | null;
}

/** The most entries that the server gives on one page. */
const LONGEST_PAGE = 1000;

/**
 * Fetches pages until there are `limit` entries, or no more pages. `next` says where the rest
 * begins.
 */
export async function fetchPages<T>(
  limit: number,
  fetchPage: (place: { readonly limit: number; readonly after?: string }) => Promise<Page<T>>,
): Promise<Page<T>> {
  const tokens: T[] = [];
  let next: string | null = null;
  do {
    const page: Page<T> = await fetchPage({
      limit: Math.min(LONGEST_PAGE, limit - tokens.length),
      ...(next !== null && { after: next }),
    });
    tokens.push(...page.tokens);
    next = page.next;
  } while (next !== null && tokens.length < limit);
  return { tokens, next };
}
