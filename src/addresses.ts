import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/**
 * The one normal form of IP addresses and ranges: whatever is compared with one another went through
 * here.
 */

/** An IPv4 or IPv6 address of ipaddr.js. Its `toString` is the normal form. */
export type Address = ReturnType<typeof ipaddr.process>;

/**
 * An address in its normal form: IPv4 in IPv6 (`::ffff:10.0.0.1`) becomes IPv4, and a zone
 * (`fe80::1%eth0.100`, RFC 4007), which says only by which interface the address came, is cut off.
 * Null for what is no address, and for the forms that only some programs read (`10`, `0x7f.1`).
 */
export function parseAddress(text: string): Address | null {
  const [bare = '', ...zone] = text.split('%');
  const version = isIP(bare);
  if (version === 0 || (version === 4 && zone.length > 0)) return null;
  return ipaddr.process(bare);
}

export interface AddressRange {
  readonly network: Address;
  /** The length of the prefix. */
  readonly bits: number;
  /** As CIDR. */
  readonly text: string;
}

/** The bits before the IPv4 address in an IPv4-mapped one (RFC 4291 section 2.5.5.2). */
const MAPPED_BITS = 96;

/**
 * A CIDR range, or one address as the range that holds only it. An IPv4-mapped range becomes the
 * IPv4 range, because addresses do, too. Null for what is no range, for one with a zone, and for an
 * IPv4-mapped range that reaches beyond IPv4.
 */
export function parseRange(text: string): AddressRange | null {
  const [, host = '', length] = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(host);
  if (version === 0) return null;
  const longest = version === 4 ? 32 : 128;
  const given = length === undefined ? longest : Number(length);
  const network = ipaddr.process(host);
  const bits = given - (version === 6 && network.kind() === 'ipv4' ? MAPPED_BITS : 0);
  if (given > longest || bits < 0) return null;
  return { network, bits, text: `${network.toString()}/${bits}` };
}

/**
 * What is wrong with a text that `parseRange` does not take, as a message that follows its path.
 * @param form what else the text must be.
 */
export function rangeProblem(text: string, form: string): string {
  const [host = ''] = text.split('/');
  const isMapped = isIP(host) === 6 && ipaddr.process(host).kind() === 'ipv4';
  return isMapped ? `must be /${MAPPED_BITS} or longer, because IPv4-mapped addresses count as IPv4` : form;
}

/** Whether an address is in a range. */
export function isInRange(address: Address, { network, bits }: AddressRange): boolean {
  return network.kind() === address.kind() && address.match(network, bits);
}
