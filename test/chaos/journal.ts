/** The events of a run in order, and its violations: events that must never happen. */
export interface Journal {
  note(what: string, details?: object): void;
  /** Records an event that must never happen. */
  violate(what: string, details?: object): void;
  count(what: string): void;
  readonly violations: readonly string[];
  readonly lines: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
}

export function createJournal(startedAtMs: number): Journal {
  const violations: string[] = [];
  const lines: string[] = [];
  const counts = new Map<string, number>();
  const note = (what: string, details: object = {}): void => {
    const seconds = ((performance.now() - startedAtMs) / 1000).toFixed(3);
    lines.push(`${seconds} ${what} ${JSON.stringify(details)}`);
  };
  return {
    note,
    violate(what, details = {}) {
      note(`VIOLATION ${what}`, details);
      violations.push(`${what} ${JSON.stringify(details)}`);
    },
    count: (what) => counts.set(what, (counts.get(what) ?? 0) + 1),
    violations,
    lines,
    counts,
  };
}
