import type { AdminRole } from '../authn/admin-role.ts';
import type { ClientAddress } from '../policy/project.ts';

/** Who asks on the admin API. */
export interface Admin {
  readonly over: 'socket' | 'tcp';
  readonly role: AdminRole;
  /** For the audit record and the log. */
  readonly actor: string;
}

/** What all middleware may know about one request. `request-context.ts` sets it. */
export interface RequestContext {
  readonly requestId: string;
  /** When the request came. Nothing else reads the clock for this request. */
  readonly now: Date;
  /** The same moment, as `performance.now()` says it: for durations. */
  readonly startedAtMs: number;
  readonly clientAddress: ClientAddress;
  /** False: the client sent no target that can be read, and `ctx.path` is `/`. */
  readonly hasTarget: boolean;
  /** Fields that handlers add to the request's log line. Never a secret. */
  readonly logFields: Record<string, unknown>;
  /** The metrics' label `reason` for an answer that is no error. */
  successReason: 'none' | 'granted_less';
}

/** What Koa carries along with each request, as `ctx.state`. */
export interface RequestState extends RequestContext {
  error?: unknown;
  /** Who asks, on the admin API. */
  admin?: Admin;
}
