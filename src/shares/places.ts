/** Counts what holders hold of something bounded, such as open connections. */
export interface Places {
  /**
   * Whether the holder may take one more, by its own bound and by that of all holders.
   * @param holder null: only the bound of all holders applies.
   */
  hasRoom(holder: string | null): boolean;
  take(holder: string | null): void;
  /** Gives back what `take` took. */
  give(holder: string | null): void;
  held(): number;
}

export interface PlacesOptions {
  readonly total: number;
  readonly perHolder: number;
}

export function createPlaces({ total, perHolder }: PlacesOptions): Places {
  const heldBy = new Map<string, number>();
  let held = 0;
  const count = (holder: string | null, step: 1 | -1): void => {
    held += step;
    if (holder === null) return;
    const left = (heldBy.get(holder) ?? 0) + step;
    if (left === 0) heldBy.delete(holder);
    else heldBy.set(holder, left);
  };
  return {
    hasRoom: (holder) => held < total && (holder === null || (heldBy.get(holder) ?? 0) < perHolder),
    take: (holder) => count(holder, 1),
    give: (holder) => count(holder, -1),
    held: () => held,
  };
}
