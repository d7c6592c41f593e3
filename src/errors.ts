/** Why a request or a command can't be answered as asked. Statuses belong to `http/error-handler.ts`. */
export type ErrorCode =
  | 'unauthorized' // credentials wrong, unknown, expired, revoked
  | 'admin_unauthorized' // no good admin token, where one is needed
  | 'wrong_cell' // credentials of a kind that this cell does not take
  | 'mixed_cells' // the scopes live in more than one cell, or can't be told apart in time
  | 'other_cell' // another cell answers this, and it is not passed on
  | 'denied' // nothing may be granted, and the client must be told so
  | 'service_unknown'
  | 'registry_off'
  | 'grant_type_unsupported'
  | 'path_unknown'
  | 'method_not_allowed'
  | 'size'
  | 'malformed' // not even the form of the input is right
  | 'not_found'
  | 'invalid' // the input of an admin is wrong; `problems` says where
  | 'conflict' // the input is right, but the state forbids it
  | 'too_many_failures' // of attempts to log in, from one address or as one account
  | 'unavailable' // try again later
  | 'internal';

/**
 * The cause behind a code, in one word: for the log, the metrics and `explain`, never for the client. A closed set, so that nothing a
 * client sends can become a label of a metric.
 */
export type Reason =
  | 'malformed_basic'
  | 'malformed_credentials'
  | 'no_credentials'
  | 'no_password'
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
  | 'token_revoked'
  | 'token_expired'
  | 'token_damaged'
  | 'deploy_token_username'
  | 'job_not_running'
  | 'job_token_expired'
  | 'ci_disabled'
  | 'project_deletion_scheduled'
  | 'no_registry_ability'
  | 'nothing_for_anonymous'
  | 'protected_repository'
  | 'storage_limit'
  | 'job_push'
  | 'wrong_cell'
  | 'cell_unknown'
  | 'cell_away'
  | 'forwarding_loop'
  | 'topology_service'
  | 'password_lane'
  | 'password_hasher'
  | 'no_admin_token'
  | 'unknown_admin_token'
  | 'draining';

/** One thing wrong in an input. `line` counts from 1. */
export interface Problem {
  readonly line?: number;
  readonly path: string;
  readonly message: string;
}

const MOST_PRINTED_PROBLEMS = 20;

/**
 * Problems as one line of text: `line 3: users[0].id: must be 1 or more; …`, the first twenty and the
 * number of the others. With a file: `line 3 of FILE: …`.
 */
export function printProblems(problems: readonly Problem[], file: string | null = null): string {
  const inFile = file === null ? '' : ` of ${file}`;
  const printed = problems
    .slice(0, MOST_PRINTED_PROBLEMS)
    .map(({ line, path, message }) =>
      [
        ...(line === undefined ? [] : [`line ${line}${inFile}`]),
        ...(path === '' ? [] : [path]),
        message,
      ].join(': '),
    );
  const others = problems.length - printed.length;
  return [...printed, ...(others > 0 ? [`and ${others} more`] : [])].join('; ');
}

export interface ErrorDetails {
  readonly problems?: readonly Problem[];
  readonly retryAfterSeconds?: number;
  /** Missing: the code says it all. */
  readonly reason?: Reason | ErrorCode;
  /** What the client is told beside the message, such as another cell's URL. */
  readonly detail?: string;
  /** Methods, for the header `Allow`. */
  readonly allow?: string;
  /** The rest of the request is still on its way and won't be read. */
  readonly closesConnection?: boolean;
  readonly cause?: unknown;
}

/** An error with a stable code, and a message that may be shown to whoever asked. */
export class CellpassError extends Error {
  readonly code: ErrorCode;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'CellpassError';
    this.code = code;
    this.details = details;
  }

  get reason(): Reason | ErrorCode {
    return this.details.reason ?? this.code;
  }
}
