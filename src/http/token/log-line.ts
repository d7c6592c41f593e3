import { cutForLog, listForLog } from '../../log.ts';
import type { Decision } from '../../policy/grant.ts';
import { printScope } from '../../policy/scope.ts';
import { authType, type Subject, subjectName } from '../../policy/subject.ts';
import type { AskedService, ChosenCell, IssuedOutcome, TokenOutcome } from './outcome.ts';

/** The log line's fields of a token request, with bounded texts. */
export function logFieldsOf({ asked, cell, subject, decision, issued }: TokenOutcome): object {
  // What a client with wrong credentials asks stays out of the log.
  const isDescribed = subject !== null || isElsewhere(cell);
  return {
    ...(cell && { cell: cell.self }),
    ...(asked && isDescribed && describeAsked(asked)),
    ...(cell?.forwarded && { forwarded_to: cell.answering }),
    ...(subject && describeSubject(subject)),
    ...(decision && describeDecision(decision)),
    ...(issued && describeIssued(issued)),
  };
}

function isElsewhere(cell: ChosenCell | null): boolean {
  return cell !== null && cell.answering !== null && cell.answering !== cell.self;
}

function describeAsked({ service, scopes: { scopes, dropped } }: AskedService): object {
  return {
    service: service && cutForLog(service),
    asked: listForLog(scopes.map(printScope)),
    ...(dropped.length > 0 && { dropped: dropped.length }),
  };
}

function describeSubject(subject: Subject): object {
  return { subject: subjectName(subject), auth_type: authType(subject) };
}

function describeDecision({ access, rulings }: Decision): object {
  const refused = rulings.filter(({ verdict }) => verdict !== 'grant');
  return {
    granted: listForLog(access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`)),
    ...(refused.length > 0 && {
      refused: listForLog(refused.map(({ scope, action, rule }) => `${scope.name}:${action} ${rule}`)),
    }),
  };
}

function describeIssued({ claims, kid, reused }: IssuedOutcome): object {
  return { kid, jti: claims.jti, ...(reused && { reused }) };
}
