import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { type DatabaseHost, hostLabel } from '../../config/database-url.ts';

/** Which of several servers the next connection goes to. */

export interface Address extends DatabaseHost {
  /** Null: the host is a Unix socket, or the driver's default. */
  readonly ip: string | null;
}

export interface Hosts {
  /**
   * The address for the next connection: the one that took changes before, else the first that
   * does. A name with one address is looked up again each time.
   */
  choose(): Promise<Address>;
  /** Says that a connection to this address failed, broke, or can't write. */
  leave(address: Address): void;
}

/** An address that doesn't answer in this time must not delay the next one. */
const NEXT_AFTER_MS = 150;
/**
 * Replicas that lose a server at once must not come back at once, and a standby that refuses every
 * connection must not get one for each request.
 */
const SHORTEST_REST_MS = 20;
const LONGEST_REST_MS = 100;

/** @param tryAddress resolves if the server at the address takes changes. */
export function createHosts(
  hosts: readonly DatabaseHost[],
  tryAddress: (address: Address) => Promise<void>,
): Hosts {
  let current: Address | null = null;
  let search: Promise<Address> | null = null;
  let restUntilMs = 0;

  const rest = (): void => {
    const restMs = SHORTEST_REST_MS + Math.random() * (LONGEST_REST_MS - SHORTEST_REST_MS);
    restUntilMs = performance.now() + restMs;
  };
  const find = async (): Promise<Address> => {
    const waitMs = restUntilMs - performance.now();
    if (waitMs > 0) await delay(waitMs);
    const addresses = await resolveAll(hosts);
    const [only, another] = addresses;
    if (only !== undefined && another === undefined) return only;
    const same = addresses.find((address) => current !== null && isSame(address, current));
    return same ?? firstThatWorks(addresses, tryAddress);
  };
  return {
    async choose() {
      search ??= find().finally(() => {
        search = null;
      });
      try {
        current = await search;
        return current;
      } catch (error) {
        rest();
        throw error;
      }
    },
    leave(address) {
      rest();
      if (current !== null && isSame(address, current)) current = null;
    },
  };
}

function isSame(one: Address, other: Address): boolean {
  return one.name === other.name && one.port === other.port && one.ip === other.ip;
}

/** All addresses of all hosts, in the order of the hosts. Throws if no host has an address. */
async function resolveAll(hosts: readonly DatabaseHost[]): Promise<readonly Address[]> {
  const found = await Promise.allSettled(hosts.map(resolve));
  const addresses = found.flatMap((outcome) => (outcome.status === 'fulfilled' ? outcome.value : []));
  const failure = found.find((outcome) => outcome.status === 'rejected');
  if (addresses.length === 0 && failure !== undefined) throw failure.reason;
  return addresses;
}

async function resolve(host: DatabaseHost): Promise<readonly Address[]> {
  if (host.name === '' || host.name.startsWith('/')) return [{ ...host, ip: null }];
  if (isIP(host.name) !== 0) return [{ ...host, ip: host.name }];
  const found = await lookup(host.name, { all: true });
  return found.map(({ address }) => ({ ...host, ip: address }));
}

/**
 * Tries the addresses in their order. It tries the next one when one fails, and also when one
 * doesn't answer at once, because a server that hangs takes connections and never answers.
 */
function firstThatWorks(
  addresses: readonly Address[],
  tryAddress: (address: Address) => Promise<void>,
): Promise<Address> {
  return new Promise((resolve, reject) => {
    const failures: string[] = [];
    let tried = 0;
    let isDone = false;
    let timer: NodeJS.Timeout | undefined;
    const tryNext = (): void => {
      clearTimeout(timer);
      const address = addresses[tried];
      if (isDone || address === undefined) return;
      tried += 1;
      timer = setTimeout(tryNext, NEXT_AFTER_MS);
      tryAddress(address).then(
        () => {
          isDone = true;
          clearTimeout(timer);
          resolve(address);
        },
        (error: unknown) => {
          failures.push(`${hostLabel(address)}: ${error instanceof Error ? error.message : String(error)}`);
          if (failures.length === addresses.length) reject(new Error(failures.join('; ')));
          else tryNext();
        },
      );
    };
    tryNext();
  });
}
