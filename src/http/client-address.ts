import ipaddr from 'ipaddr.js';
import type { ClientAddress } from '../policy/project.ts';

/** Decides whose word about the client's address counts. */
export type ReadClientAddress = (
  socketAddress: string | undefined,
  forwardedFor: string | undefined,
) => ClientAddress;

/**
 * The client is whoever connected; where that is a trusted proxy, it is the entry that the proxy added to `X-Forwarded-For`, and so on
 * from right to left. What stands further left was written by the client itself.
 */
export function createClientAddressReader(trustedProxies: readonly string[]): ReadClientAddress {
  const isTrusted = trustIn(trustedProxies);
  return (socketAddress, forwardedFor) => {
    let client = toClientAddress(socketAddress ?? '');
    const hops = forwardedFor?.split(',') ?? [];
    for (let hop = hops.pop(); hop !== undefined && isTrusted(client); hop = hops.pop()) {
      const address = withoutPort(hop.trim());
      // Nothing to its left can be believed any more than an entry that is no address.
      if (!ipaddr.isValid(address)) return client;
      client = toClientAddress(address);
    }
    return client;
  };
}

/** Whether an address is in one of the ranges. */
export function trustIn(ranges: readonly string[]): (address: ClientAddress) => boolean {
  return (address) => ranges.some((range) => address.isIn(range));
}

/**
 * Whom an address counts as where one client must not count as many: an IPv6 address as its /64, of which one household or host has
 * all. NAT64 (RFC 6052) puts every IPv4 address into one /64, so there it counts whole.
 */
export function toNetwork({ text }: ClientAddress): string {
  if (!ipaddr.IPv6.isValid(text)) return text;
  const address = ipaddr.IPv6.parse(text);
  if (address.range() === 'rfc6052') return text;
  return `${ipaddr.IPv6.networkAddressFromCIDR(`${text}/64`).toString()}/64`;
}

/** `text` in its canonical form; IPv4 in IPv6 (`::ffff:10.0.0.1`) counts as IPv4. An address that doesn't parse is in no range. */
export function toClientAddress(text: string): ClientAddress {
  if (!ipaddr.isValid(text)) return { text, isIn: () => false };
  const address = ipaddr.process(text);
  return {
    text: address.toString(),
    isIn: (range) => {
      const [network, bits] = toRange(range);
      return network.kind() === address.kind() && address.match(network, bits);
    },
  };
}

type Address = ReturnType<typeof ipaddr.process>;

/** Ranges come from the configuration and the directory, both checked when read. */
function toRange(range: string): [network: Address, bits: number] {
  if (range.includes('/')) return ipaddr.parseCIDR(range);
  const address = ipaddr.process(range);
  return [address, address.kind() === 'ipv4' ? 32 : 128];
}

function withoutPort(hop: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(hop)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(hop)?.[1] ?? hop;
}
