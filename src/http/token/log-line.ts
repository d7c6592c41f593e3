import { cutForLog, listForLog } from '../../log.ts';
import type { Decision } from '../../policy/grant.ts';
import { printScope } from '../../policy/scope.ts';
import { authType, credentialOf, subjectName } from '../../policy/subject.ts';
import type { AskedService, ChosenCell, TokenOutcome } from './outcome.ts';

/** Adds the fields of a token request to its log line, with bounded texts. */
export function addLogFields(fields: Record<string, unknown>, outcome: TokenOutcome): void {
  const { asked, cell, subject, knownCredential, decision, issued, passedOn } = outcome;
  describeIdentity(fields, outcome);
  if (cell !== null) fields['cell'] = cell.self;
  // What a client with wrong credentials asks stays out of the log.
  if (asked !== null && (subject !== null || isElsewhere(cell))) describeAsked(fields, asked);
  if (cell?.forwarded) fields['forwarded_to'] = cell.answering;
  if (passedOn !== null) {
    fields['passed_on'] = passedOn.reason;
    if (passedOn.status !== null) fields['answered_by'] = 'rails';
  }
  if (subject !== null) {
    fields['subject'] = subjectName(subject);
    fields['auth_type'] = authType(subject);
  }
  const credential = subject === null ? knownCredential?.name : credentialOf(subject);
  if (credential) fields['credential'] = credential;
  if (decision !== null) describeDecision(fields, decision);
  if (issued === null) return;
  fields['kid'] = issued.kid;
  fields['jti'] = issued.claims.jti;
  if (issued.reused) fields['reused'] = true;
}

/** What an ID token says is in the log only where its signature is right. */
function describeIdentity(
  fields: Record<string, unknown>,
  { subject, idToken }: Pick<TokenOutcome, 'subject' | 'idToken'>,
): void {
  const identity = subject?.kind === 'user' ? subject.identity : undefined;
  if (identity !== undefined) fields['identity'] = identity.name;
  const seen = identity ?? idToken;
  if (seen === null || seen.issuer === null) return;
  fields['identity_issuer'] = seen.issuer;
  if (seen.subject !== null) fields['identity_subject'] = cutForLog(seen.subject);
  if (seen.jti !== null) fields['identity_jti'] = cutForLog(seen.jti);
}

function isElsewhere(cell: ChosenCell | null): boolean {
  return cell !== null && cell.answering !== null && cell.answering !== cell.self;
}

function describeAsked(fields: Record<string, unknown>, { service, scopes }: AskedService): void {
  fields['service'] = service && cutForLog(service);
  fields['asked'] = listForLog(scopes.scopes.map(printScope));
  if (scopes.dropped.length > 0) fields['dropped'] = scopes.dropped.length;
}

function describeDecision(fields: Record<string, unknown>, { access, rulings }: Decision): void {
  fields['granted'] = listForLog(
    access.map(({ type, name, actions }) => `${type}:${name}:${actions.join(',')}`),
  );
  const refused = rulings.filter(({ verdict }) => verdict !== 'grant');
  if (refused.length === 0) return;
  fields['refused'] = listForLog(refused.map(({ scope, action, rule }) => `${scope.name}:${action} ${rule}`));
}
