/** A map whose entries expire. Over `max` entries it evicts the entry that was set first. */
export interface ExpiringMap<V> {
  get(key: string): V | undefined;
  set(key: string, value: V): void;
}

export interface ExpiringMapOptions {
  readonly lifeMs: number;
  readonly max: number;
  readonly monotonicMs: () => number;
}

/** Creates an empty map; `lifeMs` is the life of each entry after it was set. */
export function createExpiringMap<V>({ lifeMs, max, monotonicMs }: ExpiringMapOptions): ExpiringMap<V> {
  const entries = new Map<string, { readonly value: V; readonly endsMs: number }>();
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      if (entry.endsMs > monotonicMs()) return entry.value;
      entries.delete(key);
      return undefined;
    },
    set(key, value) {
      entries.delete(key);
      entries.set(key, { value, endsMs: monotonicMs() + lifeMs });
      const [oldest] = entries.keys();
      if (entries.size > max && oldest !== undefined) entries.delete(oldest);
    },
  };
}
