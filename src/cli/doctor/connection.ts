import { NO_TLS_CODES } from '../client/admin-client.ts';
import { codeOf, reasonOf } from './finding.ts';

/** Why a connection failed, for an operator. */
interface Failure {
  /** What is wrong, as the end of "… can't be reached: ". */
  readonly what: string;
  readonly remedy: string;
}

const UNTRUSTED: Failure = {
  what: 'this machine does not trust the CA of its certificate',
  remedy:
    "set NODE_EXTRA_CA_CERTS to the CA's certificate (for the server, too), or give it a certificate of a public CA",
};
const UNKNOWN_NAME: Failure = {
  what: 'DNS does not know its host name',
  remedy: 'correct the host name, or the DNS of this machine',
};
const TIMEOUT: Failure = {
  what: 'it does not answer in time',
  remedy: 'look for a firewall or a wrong route between this machine and it, or for too much load there',
};
const NO_ROUTE: Failure = {
  what: 'no route leads there',
  remedy: 'correct the address, or the network of this machine',
};
const CUT: Failure = {
  what: 'the connection was cut',
  remedy: 'look for a proxy or a firewall in between, and into the log of the other side',
};
const NO_TLS: Failure = {
  what: 'it does not speak TLS',
  remedy: 'correct https to http, or the port, or give it TLS',
};

/** By the codes of Node, of OpenSSL and of undici. */
const FAILURES: Readonly<Record<string, Failure>> = {
  ECONNREFUSED: {
    what: 'the connection is refused, so nothing listens there',
    remedy: 'start it, or correct the port',
  },
  ENOTFOUND: UNKNOWN_NAME,
  EAI_AGAIN: {
    what: 'DNS does not answer',
    remedy: 'look at the DNS of this machine (/etc/resolv.conf), and correct the host name',
  },
  EAI_NONAME: UNKNOWN_NAME,
  ENODATA: UNKNOWN_NAME,
  ETIMEDOUT: TIMEOUT,
  UND_ERR_CONNECT_TIMEOUT: TIMEOUT,
  UND_ERR_HEADERS_TIMEOUT: TIMEOUT,
  UND_ERR_BODY_TIMEOUT: TIMEOUT,
  EHOSTUNREACH: NO_ROUTE,
  ENETUNREACH: NO_ROUTE,
  ECONNRESET: CUT,
  EPIPE: CUT,
  UND_ERR_SOCKET: CUT,
  CERT_HAS_EXPIRED: {
    what: 'its certificate has expired',
    remedy: 'renew the certificate there, or correct the clock of this machine',
  },
  CERT_NOT_YET_VALID: {
    what: 'its certificate is not valid yet',
    remedy: 'correct the clock of this machine, or the certificate there',
  },
  ERR_TLS_CERT_ALTNAME_INVALID: {
    what: 'its certificate is for another host name',
    remedy: 'use a name that the certificate has, or give it a certificate for this name',
  },
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  DEPTH_ZERO_SELF_SIGNED_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT: UNTRUSTED,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNTRUSTED,
  CERT_UNTRUSTED: UNTRUSTED,
  ...Object.fromEntries(NO_TLS_CODES.map((code) => [code, NO_TLS])),
};

/**
 * The cause of a failed connection and what to do, as one sentence; null: the error is of another
 * kind.
 */
export function describeFailure(error: unknown): string | null {
  const failure = isTimeout(error) ? TIMEOUT : FAILURES[codeOf(error) ?? ''];
  if (failure === undefined) return null;
  // OpenSSL's sentence names files of its source.
  const reason = failure === NO_TLS ? (codeOf(error) ?? '') : reasonOf(error);
  return `${failure.what} (${reason}): ${failure.remedy}`;
}

/** What `AbortSignal.timeout` throws. */
function isTimeout(error: unknown): boolean {
  return error instanceof Error && (error.name === 'TimeoutError' || isTimeout(error.cause));
}
