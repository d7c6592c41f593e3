import { CellpassError } from '../../errors.ts';
import { cutForLog, listForLog } from '../../log.ts';
import { type AskedScopes, printScope } from '../../policy/scope.ts';
import { credentialOf, type Subject, subjectName } from '../../policy/subject.ts';
import type { EarlyRequest, RefusalRecord, StoredRefusal } from '../../store/records/refusals.ts';
import { toClientAddress } from '../client-address.ts';
import type { RequestContext } from '../request-state.ts';
import type { Question } from './decide.ts';
import type { TokenOutcome } from './outcome.ts';

/** @param error null: a token was issued, with less than asked. */
export function toStoredRefusal(
  outcome: TokenOutcome,
  { requestId, now, clientAddress }: RequestContext,
  error: CellpassError | null,
): StoredRefusal {
  const record: RefusalRecord = {
    at: now.toISOString(),
    client: clientAddress.text,
    error: error && toErrorRecord(error),
    question: toQuestionRecord(outcome),
    ...causesOf(outcome),
  };
  return { requestId, record };
}

function causesOf(outcome: TokenOutcome): Pick<RefusalRecord, 'early' | 'reasons'> {
  const { asked, decision, subject, knownCredential } = outcome;
  const scopes = asked?.scopes ?? { scopes: [], dropped: [] };
  if (subject === null || decision === null) {
    const { account = null, name: credential = null } = knownCredential ?? {};
    const early = subject === null ? { account, credential } : toVerified(subject);
    return { early: { ...early, asked: listForLog(scopes.scopes.map(printScope)) } };
  }
  const refused = decision.rulings.filter(({ verdict }) => verdict !== 'grant');
  return {
    reasons: [...new Set([...refused.map(({ rule }) => rule), ...scopes.dropped.map(({ why }) => why)])],
  };
}

function toVerified(subject: Subject): Pick<EarlyRequest, 'subject' | 'credential'> {
  return { subject: subjectName(subject), credential: credentialOf(subject) };
}

export function toErrorRecord({ code, message, reason }: CellpassError): NonNullable<RefusalRecord['error']> {
  return { code, message, reason };
}

/** Null: the request ended before the decision. */
export function toQuestionRecord({ subject, asked, facts }: TokenOutcome): RefusalRecord['question'] {
  if (subject === null || asked === null || facts === null) return null;
  const { abilities, expiresAt } = subject;
  return {
    subject: { ...subject, abilities: [...abilities], expiresAt: expiresAt?.toISOString() ?? null },
    asked: { scopes: asked.scopes.scopes, dropped: cutDropped(asked.scopes.dropped) },
    facts,
  };
}

/** The record has as many dropped scopes as a log line could show, and each as long. */
const MOST_DROPPED = 10;

/**
 * Cuts dropped scopes, which a client may fill with any text. The other parts of a record have
 * bounds already: cellpass parsed the names, and the facts come from the directory.
 */
function cutDropped(dropped: AskedScopes['dropped']): AskedScopes['dropped'] {
  const kept = dropped.slice(0, MOST_DROPPED).map(({ text, why }) => ({ text: cutForLog(text), why }));
  const [next] = dropped.slice(MOST_DROPPED);
  if (next === undefined) return kept;
  return [...kept, { text: `… and ${dropped.length - MOST_DROPPED} more`, why: next.why }];
}

/** A stored refusal, as the types of the decision have it. */
export interface PastRefusal {
  readonly now: Date;
  readonly client: string;
  readonly error: CellpassError | null;
  readonly question: Question | null;
}

/** Reads what `toStoredRefusal` wrote. */
export function toPastRefusal({
  at,
  client,
  error,
  question,
}: Pick<RefusalRecord, 'at' | 'client' | 'error' | 'question'>): PastRefusal {
  const now = new Date(at);
  return {
    now,
    client,
    error: error && new CellpassError(error.code, error.message, { reason: error.reason }),
    question: question && {
      ...question,
      subject: toSubject(question.subject),
      now,
      clientAddress: toClientAddress(client),
    },
  };
}

function toSubject(subject: NonNullable<RefusalRecord['question']>['subject']): Subject {
  const expiresAt = subject.expiresAt === null ? null : new Date(subject.expiresAt);
  return { ...subject, abilities: new Set(subject.abilities), expiresAt };
}
