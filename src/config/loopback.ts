import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Whether what is sent to this host stays on this machine: a name or an IP address, as in a setting or a URL, where IPv6 stands in brackets. */
export function isLoopback(text: string): boolean {
  const host = text.replace(/^\[|\]$/g, '');
  // RFC 6761 section 6.3 keeps this one name for loopback; any other may lead anywhere.
  if (isIP(host) === 0) return host.toLowerCase() === 'localhost';
  return ipaddr.process(host).range() === 'loopback';
}
