import { isIP } from 'node:net';
import ipaddr from 'ipaddr.js';

/** Whether what is sent to this host, a name or an IP address without brackets, stays on this machine. */
export function isLoopback(host: string): boolean {
  // RFC 6761 section 6.3 keeps this one name for loopback; any other may lead anywhere.
  if (isIP(host) === 0) return host.toLowerCase() === 'localhost';
  return ipaddr.process(host).range() === 'loopback';
}
