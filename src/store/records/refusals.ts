import type { ErrorCode, Reason } from '../../errors.ts';
import type { Facts } from '../../policy/project.ts';
import type { Action } from '../../policy/role.ts';
import type { RuleId } from '../../policy/rules.ts';
import type { AskedScopes, DroppedScope } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import type { Database } from '../database/drivers.ts';
import { type Retention, recordTable, type StoredRecord } from './record-table.ts';

/** A subject as JSON can hold it. */
type AsJson<S> = S extends Subject
  ? Omit<S, 'abilities' | 'expiresAt'> & {
      readonly abilities: readonly Action[];
      readonly expiresAt: string | null;
    }
  : never;

export interface EarlyRequest {
  /** The verified name; missing: no credentials were accepted. */
  readonly subject?: string;
  /** The account or deploy token of a failed login; null or missing: there is none. */
  readonly account?: string | null;
  /** As `credentialName`; null: no such credential. */
  readonly credential: string | null;
  /** Scopes, without those that don't parse; about 2,000 characters. */
  readonly asked: readonly string[];
}

/** A refusal as the database keeps it: without secrets and without unverified login names. */
export interface RefusalRecord {
  readonly at: string;
  readonly client: string;
  /** Null when a token was issued with less than asked. */
  readonly error: {
    readonly code: ErrorCode;
    readonly message: string;
    readonly reason: Reason | ErrorCode;
  } | null;
  /** The inputs of the decision; null when the request ended before it. */
  readonly question: {
    readonly subject: AsJson<Subject>;
    readonly asked: AskedScopes;
    readonly facts: Facts;
  } | null;
  /** What is known of a request that ended before the decision; older versions leave it out. */
  readonly early?: EarlyRequest;
  /** The rules and causes by which less was granted than asked, each once, for searches. */
  readonly reasons?: readonly (RuleId | DroppedScope['why'])[];
}

export type StoredRefusal = StoredRecord<RefusalRecord>;

const refusals = recordTable<RefusalRecord>('refusals', 'refusals');

export const saveRefusals = refusals.save;
export const findRefusal = refusals.find;

/** In a transaction, whose timeout is longer than that of a client's query. */
export function forgetRefusals(database: Database, retention: Retention, now: Date): Promise<void> {
  return database.transaction((sql) => refusals.forget(sql, retention, now));
}
