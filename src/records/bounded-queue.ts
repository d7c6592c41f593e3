/** How much may wait at most, by both measures. */
export interface QueueBound {
  readonly items: number;
  readonly bytes: number;
}

/** A first-in, first-out queue that refuses new items when it is full. */
export interface BoundedQueue<Item> {
  /** False when the queue is full; the item is then not added. */
  add(item: Item): boolean;
  /** The oldest items, which stay in the queue until `remove`. */
  first(count: number): readonly Item[];
  /** Drops the oldest items. */
  remove(count: number): void;
  size(): number;
}

/** @param bytesOf about how many bytes an item takes; the same answer each time for one item. */
export function createBoundedQueue<Item>(
  bound: QueueBound,
  bytesOf: (item: Item) => number,
): BoundedQueue<Item> {
  const items: Item[] = [];
  let bytes = 0;
  return {
    add(item) {
      const more = bytesOf(item);
      if (items.length >= bound.items || bytes + more > bound.bytes) return false;
      bytes += more;
      items.push(item);
      return true;
    },
    first: (count) => items.slice(0, count),
    remove(count) {
      for (const item of items.splice(0, count)) bytes -= bytesOf(item);
    },
    size: () => items.length,
  };
}
