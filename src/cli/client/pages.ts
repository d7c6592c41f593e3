interface Page<T> {
  readonly tokens: T[];
  /** Null: it is the last. */
  readonly next: string | null;
}

/** What the server answers at most at once. */
const LONGEST_PAGE = 1000;

/** As many as are wanted, page by page. */
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
