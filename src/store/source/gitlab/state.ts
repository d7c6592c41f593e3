import type { KeyObject } from 'node:crypto';
import { decoyLike } from '../../../authn/password-schemes.ts';
import type { Log } from '../../../log.ts';
import type { Sql } from '../../database/drivers.ts';
import { isUnfit, unfit } from './changes.ts';
import { publicHalf } from './job-token.ts';
import { type Kept, keep } from './kept.ts';
import type { GitlabKeys } from './keys.ts';
import { featureIsOn } from './settings.ts';
import { hasCiElsewhere, readShape, type Shape } from './shape.ts';
import { createStatements, type Statements } from './statements.ts';

/** What is known of a GitLab between requests: its form, never its users and rights. */
export interface GitlabState {
  readonly shape: Shape;
  readonly statements: Statements;
  readonly ciIsElsewhere: boolean;
  /** The public half of the key that signs job tokens; null: this GitLab has none. */
  readonly jobKey: KeyObject | null;
  /** Costs what a password of this GitLab costs, and is nobody's. */
  readonly passwordDecoy: string;
  /** Whether `db_key_base` is this GitLab's; `unknown`: nothing in the database tells. */
  readonly keys: KeyProof;
}

type KeyProof = 'right' | 'wrong' | 'unknown';

export interface StateOptions {
  readonly main: Sql;
  readonly keys: GitlabKeys;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs: () => number;
}

export interface CurrentState extends Pick<Kept<GitlabState>, 'get' | 'renew' | 'last'> {
  /**
   * Reads the key for job tokens alone, at most every few seconds, because strangers can ask for
   * it. Resolves with `old` where it was read lately.
   */
  renewKey(old: GitlabState): Promise<GitlabState>;
}

/** GitLab may be upgraded, or change its signing key or its settings for passwords. */
const RENEW_MS = 5 * 60_000;
const REST_MS = 1000;
export const KEEP = { renewMs: RENEW_MS, restMs: REST_MS, isVerdict: isUnfit } as const;
const KEY_REST_MS = 10_000;

/** Its functions throw `unavailable` when the database does not answer, or lacks something. */
export function createState(options: StateOptions): CurrentState {
  const { main, keys, monotonicMs } = options;
  let keyReadAtMs = 0;
  const read = (): Promise<GitlabState> => {
    keyReadAtMs = monotonicMs();
    return readState(options);
  };
  const kept = keep(read, { what: "GitLab's database", ...KEEP, ...options });
  return {
    ...kept,
    renewKey: async (old) => {
      const last = kept.last();
      if (last !== undefined && last !== old) return last;
      if (monotonicMs() - keyReadAtMs <= KEY_REST_MS) return old;
      keyReadAtMs = monotonicMs();
      const { key, proof } = await readJobKey(main, old.shape, keys);
      const fresh = { ...old, jobKey: key, keys: proof === 'unknown' ? old.keys : proof };
      kept.replace(old, fresh);
      return fresh;
    },
  };
}

async function readState({ main, keys }: StateOptions): Promise<GitlabState> {
  const ciIsElsewhere = await hasCiElsewhere(main);
  const shape = await readShape(main, 'main', ciIsElsewhere);
  refuseIncomplete(shape);
  const jobKey = await readJobKey(main, shape, keys);
  return {
    shape,
    statements: createStatements(shape, !ciIsElsewhere),
    ciIsElsewhere,
    jobKey: jobKey.key,
    passwordDecoy: await readDecoy(main, shape),
    keys: await proofOf(main, keys, jobKey.proof),
  };
}

/** @throws {CellpassError} `unavailable` for a database that lacks what answers need. */
export function refuseIncomplete({ missing, unreadable }: Shape): void {
  if (missing.length > 0) {
    throw unfit(
      `GitLab's database lacks ${missing.join(', ')}: this version of GitLab is not supported, or is being upgraded`,
    );
  }
  if (unreadable.length > 0) {
    throw unfit(
      `this role may not read ${unreadable.join(', ')} in GitLab's database: run the SQL that "cellpass gitlab grants" prints`,
    );
  }
}

async function readJobKey(
  main: Sql,
  shape: Shape,
  keys: GitlabKeys,
): Promise<{ readonly key: KeyObject | null; readonly proof: KeyProof }> {
  const column = 'encrypted_ci_job_token_signing_key';
  if (!shape.has('application_settings', column) || !shape.has('application_settings', `${column}_iv`))
    return { key: null, proof: 'unknown' };
  const [row] = await main.query<{ value: Uint8Array | null; iv: Uint8Array | null }>(
    `SELECT ${column} AS value, ${column}_iv AS iv FROM application_settings ORDER BY id DESC LIMIT 1`,
  );
  if (!row?.value || !row.iv) return { key: null, proof: 'unknown' };
  const pem = keys.decryptAttribute(row.value, row.iv);
  return pem === null ? { key: null, proof: 'wrong' } : { key: publicHalf(pem), proof: 'right' };
}

/** Whether `db_key_base` is this GitLab's. Reads nothing else. */
export async function readKeyProof(main: Sql, shape: Shape, keys: GitlabKeys): Promise<KeyProof> {
  return proofOf(main, keys, (await readJobKey(main, shape, keys)).proof);
}

async function proofOf(main: Sql, keys: GitlabKeys, byJobKey: KeyProof): Promise<KeyProof> {
  return byJobKey === 'unknown' ? proveByDeployToken(main, keys) : byJobKey;
}

/** The newest tokens are the ones that the current key encrypted. */
async function proveByDeployToken(main: Sql, keys: GitlabKeys): Promise<KeyProof> {
  const rows = await main.query<{ token: string }>(
    'SELECT token_encrypted AS token FROM deploy_tokens WHERE token_encrypted IS NOT NULL ORDER BY id DESC LIMIT 20',
  );
  if (rows.length === 0) return 'unknown';
  return rows.some(({ token }) => keys.decryptToken(token) !== null) ? 'right' : 'wrong';
}

const USUAL_PASSWORDS = '$2a$10$';
/** GitLab's feature that makes bcrypt eight times as slow. */
const STRETCHED = 'increase_password_storage_stretches';
const STRETCHED_PASSWORDS = '$2a$13$';
const READ_SCHEME = String.raw`
  SELECT scheme FROM (
    SELECT substring(encrypted_password FROM '^\$[a-z0-9-]+\$[0-9]+\$') AS scheme FROM users
    WHERE encrypted_password LIKE '$%' ORDER BY id DESC LIMIT 100) AS newest
  WHERE scheme IS NOT NULL GROUP BY scheme ORDER BY count(*) DESC LIMIT 1`;

async function readDecoy(main: Sql, shape: Shape): Promise<string> {
  const [flag] = await main.query<{ is_on: boolean }>(`SELECT ${featureIsOn(shape, STRETCHED)} AS is_on`);
  const usual = flag?.is_on === true ? STRETCHED_PASSWORDS : USUAL_PASSWORDS;
  if (!shape.has('users', 'encrypted_password')) return decoyLike(usual);
  const [row] = await main.query<{ scheme: string }>(READ_SCHEME);
  return decoyLike(row?.scheme ?? usual);
}
