import { Agent, type Dispatcher, request } from 'undici';
import { readCertificates } from '../../config/pem-files.ts';
import { CellpassError } from '../../errors.ts';

/** The answer of another cell. A redirect is an answer, too: it is not followed. */
interface CellAnswer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly text: string;
}

/**
 * Asks other cells, with a timeout and a limit on the size of an answer, because answers are not
 * trusted.
 */
export interface CellClient {
  /** @throws {Error} when no complete answer comes in time. */
  get(url: string): Promise<CellAnswer>;
  close(): Promise<void>;
}

const TIMEOUT_MS = 3000;
const LONGEST_ANSWER_BYTES = 262_144;

/**
 * @param caFile a file of CA certificates, PEM; null: the CAs that Node trusts.
 * @throws {CellpassError} `invalid` when the file can't be read, or holds no certificates.
 */
export function createCellClient(caFile: string | null): CellClient {
  const agent = new Agent({
    maxResponseSize: LONGEST_ANSWER_BYTES,
    connect: { timeout: TIMEOUT_MS, ...(caFile !== null && { ca: authoritiesIn(caFile) }) },
  });
  return {
    async get(url) {
      const signal = AbortSignal.timeout(TIMEOUT_MS);
      const { statusCode, headers, body } = await request(url, { dispatcher: agent, signal });
      return { status: statusCode, headers, text: await body.text() };
    },
    close: () => agent.destroy(),
  };
}

function authoritiesIn(file: string): string {
  try {
    return readCertificates(file);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new CellpassError('invalid', `--ca-file: can't read ${file}: ${reason}`, { cause });
  }
}
