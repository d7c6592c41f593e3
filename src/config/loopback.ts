import { parseAddress } from '../addresses.ts';

/**
 * Whether a host is this machine. The host is a name or an IP address, as in a setting or a URL,
 * with IPv6 in brackets or not.
 */
export function isLoopback(text: string): boolean {
  const host = text.replace(/^\[|\]$/g, '');
  // RFC 6761 section 6.3 reserves this name for loopback. Other names may resolve to any address.
  return host.toLowerCase() === 'localhost' || parseAddress(host)?.range() === 'loopback';
}
