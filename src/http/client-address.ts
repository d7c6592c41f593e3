import ipaddr from 'ipaddr.js';
import { isInRange, parseAddress, parseRange } from '../addresses.ts';
import type { ClientAddress } from '../policy/project.ts';

/** The client's address, from the socket's address and the header `X-Forwarded-For`. */
export type ReadClientAddress = (
  socketAddress: string | undefined,
  forwardedFor: string | undefined,
) => ClientAddress;

/**
 * Reads `X-Forwarded-For` from right to left while the address so far is a trusted proxy's: each
 * proxy adds the address that it was called from. The client may have written the entries further
 * left, so they do not count.
 */
export function createClientAddressReader(trustedProxies: readonly string[]): ReadClientAddress {
  const isTrusted = trustIn(trustedProxies);
  return (socketAddress, forwardedFor) => {
    let client = toClientAddress(socketAddress ?? '');
    const hops = forwardedFor?.split(',') ?? [];
    for (let hop = hops.pop(); hop !== undefined && isTrusted(client); hop = hops.pop()) {
      const address = withoutPort(hop.trim());
      // An entry that is no address ends the trust, for the entries to its left too.
      if (parseAddress(address) === null) return client;
      client = toClientAddress(address);
    }
    return client;
  };
}

/** Tells whether an address is in one of the ranges. */
export function trustIn(ranges: readonly string[]): (address: ClientAddress) => boolean {
  return (address) => ranges.some((range) => address.isIn(range));
}

/**
 * The network that failed attempts and connections are counted by. One host may use all IPv6
 * addresses of its /64, so they count as one. NAT64 (RFC 6052) puts all IPv4 addresses into one
 * /64, so each of its addresses counts on its own.
 */
export function toNetwork({ text }: ClientAddress): string {
  if (!ipaddr.IPv6.isValid(text)) return text;
  const address = ipaddr.IPv6.parse(text);
  if (address.range() === 'rfc6052') return text;
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${text}/64`).toString()}/64`;
}

/** The address in its normal form. A text that does not parse stays as it is, and is in no range. */
export function toClientAddress(text: string): ClientAddress {
  const address = parseAddress(text);
  if (address === null) return { text, isIn: () => false };
  return {
    text: address.toString(),
    isIn: (text) => {
      const range = parseRange(text);
      return range !== null && isInRange(address, range);
    },
  };
}

function withoutPort(hop: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop)?.[1] ?? hop;
}
