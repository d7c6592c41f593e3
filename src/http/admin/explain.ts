import type { Middleware } from 'koa';
import type { CredentialRecords } from '../../authn/account.ts';
import { unauthorized } from '../../authn/basic.ts';
import { ID_TOKEN_USERNAME } from '../../authn/federation/id-token.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { SubjectOrReason } from '../../authn/to-subject.ts';
import { type CredentialForm, readCredentialForm } from '../../cells/credential-form.ts';
import type { Cell } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import { accessTokenAbilities, deployTokenAbilities } from '../../policy/ability.ts';
import type { ClientAddress } from '../../policy/project.ts';
import { parseScopes, splitScopes } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import { ANONYMOUS } from '../../policy/subject.ts';
import type { DifferenceRecord } from '../../store/records/differences.ts';
import type { RefusalRecord } from '../../store/records/refusals.ts';
import { readJson } from '../body.ts';
import { toClientAddress } from '../client-address.ts';
import type { Contract } from '../contract.ts';
import { refusalForOtherCell } from '../token/cell.ts';
import { type DecidedAnswer, decide, pathsOf } from '../token/decide.ts';
import { type PastRefusal, toPastRefusal } from '../token/refusal-record.ts';
import type { ExplainedIdToken, ExplainRequest, Explanation } from '../types.ts';
import { type CellResource, explainCell } from './explain-cell.ts';
import { explainIdToken, type IdTokenResource } from './explain-id-token.ts';
import { explainComparison, explainEarlyRefusal, explainOutcome } from './explanation.ts';
import { fromRecords, toSubjectQuestion } from './named-subject.ts';

export interface ExplainResource extends CellResource, IdTokenResource {
  readonly source: Pick<DirectorySource, 'ask' | 'find' | 'facts'>;
  /** The record of a refusal, by its id or a prefix of it; also one that is not written yet. */
  findRefusal(requestId: string): Promise<RefusalRecord | undefined>;
  /** The same of a difference from the answer of GitLab Rails. */
  findDifference(requestId: string): Promise<DifferenceRecord | undefined>;
  now(): Date;
}

/**
 * Why a subject would be granted or refused scopes: the token endpoint's own decision, rule by
 * rule.
 */
export function explain(contract: Contract, resource: ExplainResource): Middleware {
  return async (ctx) => {
    const input = contract.parseExplainRequest(await readJson(ctx.req));
    const now = input.at === undefined ? resource.now() : new Date(input.at);
    const clientAddress = readAddress(input.ip);
    const asked = parseScopes(splitScopes(input.scopes));
    const { explained, ...whom } = await readWhom(resource, input, now);
    const { cell, refusal, droppedBy } = await explainCell(resource, asked, whom);
    // A cell that doesn't take the credentials doesn't look at them.
    const subject = droppedBy === null ? whom.subject : ANONYMOUS;
    const when = { now, client: clientAddress.text };
    const explain = async (): Promise<Explanation> => {
      if (refusal !== null) return explainEarlyRefusal(when, refusal, asked);
      if (typeof subject === 'string') return explainEarlyRefusal(when, unauthorized(subject), asked);
      const facts = await resource.source.facts(subject, pathsOf(asked));
      const decided = decide({ subject, asked, facts, now, clientAddress });
      return explainOutcome(when, subject, asked, refusedBy(droppedBy, decided));
    };
    ctx.body = {
      ...(await explain()),
      ...(explained && { id_token: explained }),
      ...(cell && { cell }),
    } satisfies Explanation;
  };
}

/** What an anonymous client is refused is due to the credentials that the cell doesn't take. */
function refusedBy(droppedBy: Cell | null, { decision, refusal }: DecidedAnswer): DecidedAnswer {
  if (droppedBy === null || refusal === null) return { decision, refusal };
  return { decision, refusal: refusalForOtherCell(droppedBy, refusal) };
}

interface Whom extends FoundSubject {
  /** Some token of the account, which is not known. */
  readonly isAnyToken: boolean;
  /** The form of an ID token; null: it is another credential. */
  readonly idToken: CredentialForm | null;
  /** How an ID token was read. */
  readonly explained?: ExplainedIdToken;
}

/** @throws {CellpassError} `invalid` unless the request names one subject. */
async function readWhom(
  resource: ExplainResource,
  { as, id_token, token_scopes: tokenScopes }: ExplainRequest,
  now: Date,
): Promise<Whom> {
  if (id_token !== undefined && as === undefined) {
    if (tokenScopes !== undefined)
      throw new CellpassError('invalid', 'token_scopes is not for ID tokens: their identity has the scopes');
    const text = id_token.trim();
    const idToken = readCredentialForm({ username: ID_TOKEN_USERNAME, password: text });
    return { ...(await explainIdToken(resource, text, now)), isAnyToken: false, idToken };
  }
  if (as === undefined || id_token !== undefined)
    throw new CellpassError('invalid', 'give either as or id_token');
  const found = await findSubject(resource.source, { as, tokenScopes, now });
  return { ...found, isAnyToken: tokenScopes !== undefined && as.startsWith('user:'), idToken: null };
}

function readAddress(text = '127.0.0.1'): ClientAddress {
  const address = toClientAddress(text);
  if (address.isIn('0.0.0.0/0') || address.isIn('::/0')) return address;
  throw new CellpassError('invalid', `${text} is not an IP address`);
}

/**
 * Explains a refused request, or one that GitLab Rails answers differently, by deciding again on the
 * facts that were recorded with it.
 */
export function explainRequest(
  contract: Contract,
  resource: Pick<ExplainResource, 'findRefusal' | 'findDifference'>,
): Middleware {
  const parameters = contract.parametersOf('explainRequest');
  return async (ctx) => {
    const { id } = parameters(ctx).path;
    const difference = await resource.findDifference(id);
    const record = difference ?? (await resource.findRefusal(id));
    if (record === undefined) {
      throw new CellpassError(
        'not_found',
        'no refusal and no difference with this id is recorded: the request was granted in full, or the record is too old',
      );
    }
    const explanation = retell(toPastRefusal(record));
    ctx.body =
      difference === undefined ? explanation : { ...explanation, comparison: explainComparison(difference) };
  };
}

function retell({ now, client, error, question }: PastRefusal): Explanation {
  const when = { now, client };
  if (question === null) return explainEarlyRefusal(when, error, null);
  return explainOutcome(when, question.subject, question.asked, { ...decide(question), refusal: error });
}

interface NamedWhom {
  /** Such as `user:alice`, `token:7` or `anonymous`. */
  readonly as: string;
  /** In the place of the token's own. */
  readonly tokenScopes: readonly string[] | undefined;
  readonly now: Date;
}

interface FoundSubject {
  /** Or why its credentials would be refused. */
  readonly subject: SubjectOrReason;
  /** Of its credential; null: it has none. */
  readonly records: CredentialRecords | null;
}

/**
 * @throws {CellpassError} `not_found` when there is no subject of this name or id.
 */
async function findSubject(
  source: Pick<DirectorySource, 'find'>,
  { as, tokenScopes, now }: NamedWhom,
): Promise<FoundSubject> {
  if (as === 'anonymous') return { subject: ANONYMOUS, records: null };
  const question = toSubjectQuestion(as);
  const records = await source.find(question);
  const subject = fromRecords(question, records, { tokenScopes, now });
  if (subject === null) throw new CellpassError('not_found', `there is no ${as.replace(':', ' ')}`);
  const isAsIs = typeof subject === 'string' || tokenScopes === undefined;
  return { subject: isAsIs ? subject : withTokenScopes(subject, tokenScopes), records };
}

function withTokenScopes(subject: Subject, tokenScopes: readonly string[]): Subject {
  switch (subject.kind) {
    case 'user':
      return { ...subject, tokenScopes, abilities: accessTokenAbilities(tokenScopes) };
    case 'deploy_token':
      return { ...subject, tokenScopes, abilities: deployTokenAbilities(tokenScopes) };
    default:
      throw new CellpassError(
        'invalid',
        `--token-scopes is for users and tokens; a ${subject.kind} has none`,
      );
  }
}
