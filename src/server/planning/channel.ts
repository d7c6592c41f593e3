import type { IssuerRules } from '../../config/federation.ts';
import type { ApplyOptions } from '../../directory/apply.ts';
import type { SingleChange } from '../../directory/single/single-change.ts';
import { CellpassError, type ErrorCode, type Problem } from '../../errors.ts';
import type { Database, Row, Sql, Statement, TransactionOptions } from '../../store/database/drivers.ts';

/** The messages between a server and its planning process, and the planning process's half. */

/** Work for the planning process. `nowMs` is in milliseconds since 1970. */
export type PlanningJob =
  | {
      readonly kind: 'apply';
      readonly given: string | SingleChange;
      readonly options: ApplyOptions;
      readonly refusesExamples: boolean;
      readonly issuers: IssuerRules | null;
      readonly tokenDays: number | undefined;
      readonly nowMs: number;
    }
  | { readonly kind: 'export' };

/** What the planning process asks of the server: it has no database and hashes no passwords. */
export type PlanningCall =
  | { readonly name: 'begin'; readonly options: TransactionOptions }
  | { readonly name: 'query'; readonly text: string; readonly params: readonly unknown[] }
  | { readonly name: 'commit' }
  | { readonly name: 'rollback' }
  | { readonly name: 'hash'; readonly password: string }
  | { readonly name: 'verify'; readonly hash: string | null; readonly password: string };

export type PlanningFailure =
  /** The server refused a call and knows the error. */
  | { readonly kind: 'refused'; readonly id: number }
  | {
      readonly kind: 'coded';
      readonly code: ErrorCode;
      readonly message: string;
      readonly problems: readonly Problem[] | null;
    }
  | { readonly kind: 'unexpected'; readonly stack: string };

/** A message of the planning process. `ready` is the first. */
export type FromPlanner =
  | { readonly kind: 'ready' }
  | { readonly kind: 'call'; readonly id: number; readonly call: PlanningCall }
  | { readonly kind: 'done'; readonly result: unknown }
  | { readonly kind: 'failed'; readonly failure: PlanningFailure };

/** A message of the server. The code that made a call knows the type of its `value`. */
export type ToPlanner =
  | { readonly kind: 'job'; readonly job: PlanningJob }
  | { readonly kind: 'answer'; readonly id: number; readonly value: never }
  | { readonly kind: 'refusal'; readonly id: number };

/** A call that the server refused. */
class RefusedCall extends Error {
  readonly id: number;

  constructor(id: number) {
    super('the server refused a call');
    this.name = 'RefusedCall';
    this.id = id;
  }
}

/** The server's database and password hashing, used through messages. */
export interface PlanningClient {
  readonly database: Pick<Database, 'transaction'>;
  readonly passwords: {
    hash(password: string): Promise<string>;
    verify(hash: string | null, password: string): Promise<boolean>;
  };
  /** Takes the answer to a call. */
  receive(message: Exclude<ToPlanner, { readonly kind: 'job' }>): void;
}

export function createPlanningClient(send: (message: FromPlanner) => void): PlanningClient {
  const waiting = new Map<
    number,
    { readonly resolve: (value: never) => void; readonly reject: (error: RefusedCall) => void }
  >();
  let calls = 0;
  const request = <T>(call: PlanningCall): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      calls += 1;
      waiting.set(calls, { resolve, reject });
      send({ kind: 'call', id: calls, call });
    });
  const query = <R extends Row>(text: string, params: readonly unknown[]): Promise<readonly R[]> =>
    request({ name: 'query', text, params });
  const sql: Sql = {
    query: (statement: string | Statement, params = []) =>
      query(typeof statement === 'string' ? statement : statement.text, params),
    execute: async (text) => {
      await query(text, []);
    },
  };
  return {
    database: {
      transaction: async (work, options = {}) => {
        await request({ name: 'begin', options });
        try {
          const result = await work(sql);
          await request({ name: 'commit' });
          return result;
        } catch (error) {
          await request({ name: 'rollback' });
          throw error;
        }
      },
    },
    passwords: {
      hash: (password) => request({ name: 'hash', password }),
      verify: (hash, password) => request({ name: 'verify', hash, password }),
    },
    receive: (message) => {
      const call = waiting.get(message.id);
      waiting.delete(message.id);
      if (message.kind === 'answer') call?.resolve(message.value);
      else call?.reject(new RefusedCall(message.id));
    },
  };
}

export function toFailure(error: unknown): PlanningFailure {
  if (error instanceof RefusedCall) return { kind: 'refused', id: error.id };
  if (error instanceof CellpassError) {
    const { code, message, details } = error;
    return { kind: 'coded', code, message, problems: details.problems ?? null };
  }
  return { kind: 'unexpected', stack: error instanceof Error ? String(error.stack) : String(error) };
}
