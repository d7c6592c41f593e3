import { escapeUnprintable } from './printable.ts';
import { LONGEST_MESSAGE, shortened } from './shortened.ts';

/** Why a request or a command fails. `http/error-handler.ts` maps the codes to HTTP statuses. */
export type ErrorCode =
  | 'unauthorized' // the credentials are wrong, unknown, expired or revoked
  | 'admin_unauthorized' // an admin token is needed, and a valid one is missing
  | 'wrong_cell' // this cell doesn't accept credentials of this kind
  | 'mixed_cells' // the scopes belong to several cells, or to too many top-level groups
  | 'other_cell' // another cell must answer, and this cell doesn't forward
  | 'denied' // nothing is granted, and the client must get an error
  | 'service_unknown'
  | 'registry_off'
  | 'grant_type_unsupported'
  | 'bad_exchange' // the form of a token exchange is wrong
  | 'path_unknown'
  | 'method_not_allowed'
  | 'size'
  | 'malformed' // the input can't be parsed
  | 'not_found'
  | 'invalid' // the input is wrong; `problems` says where
  | 'conflict' // the input is valid, but conflicts with the current state
  | 'too_many_failures' // too many failed logins from one address, or for one account
  | 'unavailable' // try again later
  | 'internal';

/**
 * The cause of an error, for the log, the metrics and `explain`; clients never see it. A closed
 * set, so that clients can't create new metric labels.
 */
export type Reason =
  | 'malformed_basic'
  | 'malformed_credentials'
  | 'not_utf8'
  | 'no_credentials'
  | 'no_password'
  | 'example_secret'
  | 'body_cut_off'
  | 'client_gone'
  | 'too_slow'
  | 'connections'
  | 'too_many_failures'
  | 'failures_not_counted'
  | 'refresh_token'
  | 'unknown'
  | 'wrong_password'
  | 'password_authentication_off'
  | 'two_factor'
  | 'password_expired'
  | 'account_active'
  | 'account_blocked'
  | 'account_locked'
  | 'account_unconfirmed'
  | 'account_deactivated'
  | 'account_internal'
  | 'token_revoked'
  | 'token_expired'
  | 'token_damaged'
  | 'deploy_token_username'
  | 'id_token_malformed'
  | 'id_token_issuer'
  | 'id_token_header'
  | 'id_token_algorithm'
  | 'id_token_key'
  | 'id_token_signature'
  | 'id_token_audience'
  | 'id_token_times'
  | 'id_token_life'
  | 'id_token_expired'
  | 'id_token_not_yet'
  | 'id_token_revoked'
  | 'id_token_without_jti'
  | 'id_token_used'
  | 'identity_unknown'
  | 'identity_ambiguous'
  | 'identity_expired'
  | 'identity_revoked'
  | 'identity_account'
  | 'identity_username'
  | 'issuer_keys'
  | 'subject_token_type'
  | 'granular_token'
  | 'oauth_token'
  | 'external_identity'
  | 'composite_identity'
  | 'external_authorization'
  | 'gitlab_unfit'
  | 'job_not_running'
  | 'job_token_expired'
  | 'ci_disabled'
  | 'project_deletion_scheduled'
  | 'no_registry_ability'
  | 'nothing_for_anonymous'
  | 'protected_repository'
  | 'storage_limit'
  | 'unlisted_repository'
  | 'job_push'
  | 'wrong_cell'
  | 'cell_unknown'
  | 'audience_unknown'
  | 'cell_away'
  | 'rails_away'
  | 'rails_loop'
  | 'forwarding_loop'
  | 'hop_of_a_stranger'
  | 'topology_service'
  | 'clock_wrong'
  | 'password_lane'
  | 'password_hasher'
  | 'no_admin_token'
  | 'unknown_admin_token'
  | 'admin_role'
  | 'draining';

/** One problem in an input. `line` counts from 1. */
export interface Problem {
  readonly line?: number;
  readonly path: string;
  readonly message: string;
}

/** A person corrects the first problems first, and many others follow from these. */
const MOST_LISTED_PROBLEMS = 20;

/** The problems that an error lists. */
export function firstProblems<P extends Problem>(problems: readonly P[]): readonly P[] {
  return problems.slice(0, MOST_LISTED_PROBLEMS);
}

/** Of one problem, which stands behind the beginning of a sentence. */
const LONGEST_PRINTED = 250;

/** `users[0].id: must be 1 or more`, of at most `most` characters, as people may see it. */
export function printProblem({ path, message }: Problem, most = LONGEST_MESSAGE): string {
  return shortened(escapeUnprintable(path === '' ? message : `${path}: ${message}`), most);
}

/**
 * Problems as one line of text: `line 3: users[0].id: must be 1 or more; …`, the first twenty and
 * the number of the others. With a file: `line 3 of FILE: …`.
 */
export function printProblems(problems: readonly Problem[], file: string | null = null): string {
  return listProblems(problems, file).join('; ');
}

/** A text for each of the first twenty problems, and one for the number of the others. */
function listProblems(problems: readonly Problem[], file: string | null): readonly string[] {
  const inFile = file === null ? '' : ` of ${file}`;
  const printed = firstProblems(problems).map(({ line, path, message }) => {
    const place = line === undefined ? '' : `line ${line}${inFile}: `;
    return printProblem(
      { path: '', message: `${place}${path === '' ? '' : `${path}: `}${message}` },
      LONGEST_PRINTED,
    );
  });
  const others = problems.length - printed.length;
  return [...printed, ...(others > 0 ? [`and ${others} more`] : [])];
}

export interface ErrorDetails {
  readonly problems?: readonly Problem[];
  /** The message as a title and a list, for a terminal. */
  readonly list?: { readonly title: string; readonly texts: readonly string[] };
  readonly retryAfterSeconds?: number;
  /** Missing when the code says enough. */
  readonly reason?: Reason | ErrorCode;
  /** More information for the client, such as the URL of another cell. */
  readonly detail?: string;
  /** RFC 6749 section 5.2: the body has `error` and `error_description`, too. */
  readonly oauthError?: 'invalid_request' | 'unsupported_grant_type' | 'temporarily_unavailable';
  /** The value of the header `Allow`. */
  readonly allow?: string;
  /** The server won't read the rest of the request, so the connection must close. */
  readonly closesConnection?: boolean;
  /** The most characters of a message whose own sentences need more than 300. */
  readonly longest?: number;
  readonly cause?: unknown;
}

/** A problem whose values are cut. */
export function shortProblem({ path, message, ...place }: Problem): Problem {
  return { ...place, path: shortened(path), message: shortened(message) };
}

/** An error with a stable code, and a message that the client may see. */
export class CellpassError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  /**
   * @param message of which long values are cut, unless `details` has a list of problems, which the
   *   message repeats.
   */
  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    const most = details.longest ?? LONGEST_MESSAGE;
    super(
      details.problems === undefined ? shortened(message, most) : message,
      details.cause === undefined ? undefined : { cause: details.cause },
    );
    this.name = 'CellpassError';
    this.code = code;
    const { problems } = details;
    this.details = problems === undefined ? details : { ...details, problems: problems.map(shortProblem) };
  }

  get reason(): Reason | ErrorCode {
    return this.details.reason ?? this.code;
  }
}

/**
 * The error for a list of problems under a title: one line, and on a terminal a line for each.
 * @param file in which the lines are; null: it need not be named.
 */
export function invalidList(
  title: string,
  problems: readonly Problem[],
  file: string | null = null,
): CellpassError {
  const texts = listProblems(problems, file);
  return new CellpassError('invalid', `${title}: ${texts.join('; ')}`, { problems, list: { title, texts } });
}
