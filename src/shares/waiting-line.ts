/** Who asks for a turn. */
export interface Holder {
  /** An IPv4 address, the /64 of an IPv6 address, or a name of the caller's own. */
  readonly address: string;
  /** The account that the client claims to be; no one has verified it. */
  readonly account?: string;
}

/** The waiters of a resource: those of one address in a queue of their own. */
export interface WaitingLine<W extends { readonly holder: Holder }> {
  add(waiter: W): void;
  /** Does nothing if the waiter does not wait. */
  remove(waiter: W): void;
  /**
   * Removes and returns the waiter whose holder waits longest for another turn, among the addresses
   * that may have one.
   */
  takeNext(mayBegin: (address: string) => boolean): W | undefined;
  /** Whether another address would still have more waiters after one more of this address. */
  hasLonger(address: string): boolean;
  /** Removes and returns the newest waiter of the address with the most, if `hasLonger(address)`. */
  takeFromLonger(address: string): W | undefined;
  /** Notes that the holder has had a turn. */
  noteTurn(holder: Holder): void;
  /** Notes that the account has had a turn, whatever its address. */
  noteAccount(account: string): void;
  size(): number;
}

/** About 2 MB. Holders beyond it count as new. */
const MOST_KNOWN = 10_000;

export function createWaitingLine<W extends { readonly holder: Holder }>(): WaitingLine<W> {
  const queues = new Map<string, Set<W>>();
  const turns = createTurnNumbers();
  let size = 0;

  const remove = (waiter: W): void => {
    const { address } = waiter.holder;
    const queue = queues.get(address);
    if (queue?.delete(waiter) !== true) return;
    size -= 1;
    if (queue.size === 0) queues.delete(address);
  };
  /** Of two accounts at one address, the one whose last turn is longer ago; then who came first. */
  const firstOf = (queue: ReadonlySet<W>): W | undefined =>
    leastOf(queue, ({ holder }) => turns.last(pairOf(holder)));
  const rank = ({ holder: { address, account } }: W): number =>
    Math.max(turns.last(address), account === undefined ? 0 : turns.last(ofAccount(account)));
  const longerThan = (address: string): ReadonlySet<W> | undefined => {
    const own = queues.get(address)?.size ?? 0;
    const longest = leastOf(queues.values(), ({ size }) => -size);
    return longest !== undefined && longest.size > own + 1 ? longest : undefined;
  };

  return {
    add(waiter) {
      const { address } = waiter.holder;
      const queue = queues.get(address) ?? new Set();
      queues.set(address, queue.add(waiter));
      size += 1;
    },
    remove,
    takeNext(mayBegin) {
      const firsts: W[] = [];
      for (const [address, queue] of queues) {
        const first = mayBegin(address) ? firstOf(queue) : undefined;
        if (first !== undefined) firsts.push(first);
      }
      const next = leastOf(firsts, rank);
      if (next !== undefined) remove(next);
      return next;
    },
    hasLonger: (address) => longerThan(address) !== undefined,
    takeFromLonger(address) {
      const newest = [...(longerThan(address) ?? [])].at(-1);
      if (newest !== undefined) remove(newest);
      return newest;
    },
    noteTurn(holder) {
      turns.note(holder.address);
      if (holder.account !== undefined) turns.note(pairOf(holder));
    },
    noteAccount: (account) => turns.note(ofAccount(account)),
    size: () => size,
  };
}

const pairOf = ({ address, account = '' }: Holder): string => `${address} ${account}`;
const ofAccount = (account: string): string => ` ${account}`;

/** Numbers turns, and knows the number of the last turn of each name; 0: none. */
function createTurnNumbers(): { last(name: string): number; note(name: string): void } {
  const numbers = new Map<string, number>();
  let latest = 0;
  return {
    last: (name) => numbers.get(name) ?? 0,
    note(name) {
      // Deleted first, so that the map's order is the order of the last turns.
      numbers.delete(name);
      latest += 1;
      numbers.set(name, latest);
      if (numbers.size <= MOST_KNOWN) return;
      const [oldest] = numbers.keys();
      if (oldest !== undefined) numbers.delete(oldest);
    },
  };
}

/** The first of the items with the least value. */
function leastOf<T>(items: Iterable<T>, measure: (item: T) => number): T | undefined {
  let least: T | undefined;
  let value = Number.POSITIVE_INFINITY;
  for (const item of items) {
    const here = measure(item);
    if (here >= value) continue;
    least = item;
    value = here;
  }
  return least;
}
