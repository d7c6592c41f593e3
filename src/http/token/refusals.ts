import type { Middleware } from 'koa';
import { CellpassError, type ErrorCode } from '../../errors.ts';
import type { Log } from '../../log.ts';
import type { Subject } from '../../policy/subject.ts';
import type { RefusalRecord, StoredRefusal } from '../../store/records/refusals.ts';
import { toClientAddress } from '../client-address.ts';
import type { RequestState, Trail } from '../request-state.ts';
import type { Question } from './decide.ts';
import { createWriter } from './writer.ts';

/** What is worth a record; the others are no refusals, or say all there is to say. */
const KEPT: ReadonlySet<ErrorCode> = new Set([
  'unauthorized',
  'too_many_failures',
  'wrong_cell',
  'denied',
  'service_unknown',
  'registry_off',
]);

/** Around the token endpoint: keeps what was refused, and never delays or fails the answer. */
export function keepRefusals(refusals: Pick<RefusalLog, 'add'>, now: () => Date): Middleware<RequestState> {
  return async (ctx, next) => {
    const trail: Trail = { now: now() };
    ctx.state.trail = trail;
    try {
      await next();
      if (trail.refused === true) refusals.add(toStored(ctx.state, trail, null), trail.subject);
    } catch (error) {
      if (error instanceof CellpassError && KEPT.has(error.code)) {
        refusals.add(toStored(ctx.state, trail, error), trail.subject);
      }
      throw error;
    }
  };
}

function toStored(state: RequestState, trail: Trail, error: CellpassError | null): StoredRefusal {
  const record: RefusalRecord = {
    at: trail.now.toISOString(),
    client: state.clientAddress.text,
    error: error && { code: error.code, message: error.message, reason: error.reason },
    question: toQuestionRecord(trail),
  };
  return { requestId: state.requestId, record };
}

function toQuestionRecord({ subject, asked, facts }: Trail): RefusalRecord['question'] {
  if (subject === undefined || asked === undefined || facts === undefined) return null;
  const { abilities, expiresAt } = subject;
  return {
    subject: { ...subject, abilities: [...abilities], expiresAt: expiresAt?.toISOString() ?? null },
    asked,
    facts,
  };
}

/** What `toStored` was made of. */
export interface RetoldRefusal {
  readonly now: Date;
  readonly client: string;
  readonly error: CellpassError | null;
  readonly question: Question | null;
}

export function fromRecord({ at, client, error, question }: RefusalRecord): RetoldRefusal {
  const now = new Date(at);
  return {
    now,
    client,
    error: error && new CellpassError(error.code, error.message, { reason: error.reason }),
    question: question && {
      ...question,
      subject: fromSubjectRecord(question.subject),
      now,
      clientAddress: toClientAddress(client),
    },
  };
}

function fromSubjectRecord(subject: NonNullable<RefusalRecord['question']>['subject']): Subject {
  const expiresAt = subject.expiresAt === null ? null : new Date(subject.expiresAt);
  return { ...subject, abilities: new Set(subject.abilities), expiresAt };
}

export interface RefusalLogOptions {
  readonly save: (refusals: readonly StoredRefusal[]) => Promise<void>;
  readonly log: Log;
}

/** Writes in batches, behind the requests. */
export interface RefusalLog {
  add(refusal: StoredRefusal, subject: Subject | undefined): void;
  /** Writes what is waiting. */
  flush(): Promise<void>;
  /** How many were not kept so far. */
  dropped(): number;
  close(): Promise<void>;
}

const FLUSH_MS = 1000;
/** In one batch. Whoever has no valid credentials can refuse themselves as often as they like, so they get a small share. */
const MAX_KNOWN = 400;
const MAX_UNKNOWN = 100;

export function createRefusalLog({ save, log }: RefusalLogOptions): RefusalLog {
  let waiting: StoredRefusal[] = [];
  let unknown = 0;
  let dropped = 0;
  let droppedInAll = 0;

  const write = async (): Promise<void> => {
    const batch = waiting;
    const lost = dropped;
    waiting = [];
    unknown = 0;
    dropped = 0;
    if (lost > 0) log.warn({ dropped: lost }, 'more refusals than are kept; some can not be explained later');
    if (batch.length === 0) return;
    await save(batch).catch((error: unknown) => {
      droppedInAll += batch.length;
      log.warn({ err: error, lost: batch.length }, 'refusals could not be kept');
    });
  };
  const writer = createWriter(write, FLUSH_MS);

  return {
    add(refusal, subject) {
      const isKnown = subject !== undefined && subject.kind !== 'anonymous';
      const isFull = isKnown ? waiting.length - unknown >= MAX_KNOWN : unknown >= MAX_UNKNOWN;
      if (isFull) {
        dropped += 1;
        droppedInAll += 1;
        return;
      }
      if (!isKnown) unknown += 1;
      waiting.push(refusal);
    },
    flush: writer.flush,
    dropped: () => droppedInAll,
    close: writer.close,
  };
}
