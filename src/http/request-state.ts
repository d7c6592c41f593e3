import type { ClientAddress, Facts } from '../policy/project.ts';
import type { AskedScopes } from '../policy/scope.ts';
import type { Subject } from '../policy/subject.ts';
import type { ClaimSet } from '../token/claims.ts';

/** Whoever asks on the admin API. */
export interface Admin {
  readonly over: 'socket' | 'tcp';
  /** For the audit record and the log. */
  readonly actor: string;
}

/** What each request carries along; `ctx.state`. */
export interface RequestState {
  requestId: string;
  clientAddress: ClientAddress;
  /** What the handler adds to its line in the log. Never a secret. */
  logFields: Record<string, unknown>;
  error?: unknown;
  /** Who asks, on the admin API. */
  admin?: Admin;
  /** Of a token request. */
  trail: Trail;
}

/** What a token request has come to know on its way; the later parts are missing where it ended early. */
export interface Trail {
  now: Date;
  subject?: Subject;
  asked?: AskedScopes;
  facts?: Facts;
  /** Some of what was asked was not granted. */
  refused?: boolean;
  /** A token was signed. */
  issued?: { readonly claims: ClaimSet; readonly kid: string; readonly cell: number };
}
