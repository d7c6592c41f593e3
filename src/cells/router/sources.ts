import { errorBody, quote } from './language.ts';

/**
 * What one source may take: an IPv4 address, or the /64 network of an IPv6 address. 0: no bound.
 * See docs/adr/0015-fair-shares.md.
 */
export interface SourceBounds {
  /** Connections at the same time; more are closed at once. */
  readonly connections: number;
  /** Requests in ten seconds; more get 429. */
  readonly requests: number;
  /** Bearer tokens that no key verifies, in ten seconds; after them all its tokens get 429. */
  readonly refusals: number;
}

/** Generous, because an office or a fleet of runners may share one address. */
export const SOURCE_BOUNDS: SourceBounds = { connections: 1024, requests: 5000, refusals: 500 };

const TABLE = 'sources';
const PERIOD_SECONDS = 10;

/** A table of the sources, in a backend that has no servers. An entry takes about 100 bytes. */
export function sourceTable(): string[] {
  return [
    '# What each source takes: connections, requests, and tokens that no key verifies.',
    `backend ${TABLE}`,
    `  stick-table type ipv6 size 200k expire 1m store conn_cur,http_req_rate(${PERIOD_SECONDS}s),gpc0,gpc0_rate(${PERIOD_SECONDS}s)`,
    '',
  ];
}

/** The first rules of the frontend. */
export function boundSources({ connections, requests }: SourceBounds): string[] {
  return [
    '  # A share for each source, so that none takes what all need.',
    `  tcp-request connection track-sc0 src,ipmask(32,64) table ${TABLE}`,
    ...(connections === 0 ? [] : [`  tcp-request connection reject if { sc0_conn_cur gt ${connections} }`]),
    ...(requests === 0
      ? []
      : [`  http-request return ${tooMany('too many requests')} if { sc0_http_req_rate gt ${requests} }`]),
    '',
  ];
}

/** Before tokens are verified, because a forged token costs one verification for each key. */
export function boundForgedTokens({ refusals }: SourceBounds): string[] {
  if (refusals === 0) return [];
  const refused = tooMany('too many tokens that are not valid here');
  return [`  http-request return ${refused} if bearer { sc0_gpc0_rate gt ${refusals} }`];
}

/** After tokens are verified. @param isForged the condition of HAProxy for a token to refuse. */
export function countForgedTokens(isForged: string): string {
  return `  http-request sc-inc-gpc0(0) if ${isForged}`;
}

function tooMany(message: string): string {
  const body = errorBody('TOOMANYREQUESTS', `${message} from one address; try again later`);
  return `status 429 content-type application/json hdr Retry-After ${PERIOD_SECONDS} string ${quote(body)}`;
}
