/** Why a request or a command can't be answered as asked. Statuses belong to `http/error-handler.ts`. */
export type ErrorCode =
  | 'unauthorized' // credentials wrong, unknown, expired, revoked
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
  | 'unavailable' // try again later
  | 'internal';

/** One thing wrong in an input. `line` counts from 1. */
export interface Problem {
  readonly line?: number;
  readonly path: string;
  readonly message: string;
}

export interface ErrorDetails {
  readonly problems?: readonly Problem[];
  readonly retryAfterSeconds?: number;
  /** The cause in one word, for the log; never shown to the client. */
  readonly reason?: string;
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
}
