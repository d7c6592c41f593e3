import type { Middleware } from 'koa';
import { lowerCaseAscii } from '../../ascii.ts';
import type { CredentialAnswer, SubjectQuestion } from '../../authn/account.ts';
import { whyNoLogin } from '../../authn/account.ts';
import { unauthorized } from '../../authn/basic.ts';
import { fromAccount, fromJob, fromToken, type Outcome, toUser } from '../../authn/identify.ts';
import { CellpassError } from '../../errors.ts';
import { accessTokenAbilities, deployTokenAbilities } from '../../policy/ability.ts';
import type { ClientAddress, Facts } from '../../policy/project.ts';
import { parseScopes, splitScopes } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import { ANONYMOUS } from '../../policy/subject.ts';
import type { RefusalRecord } from '../../store/records/refusals.ts';
import { readJson } from '../body.ts';
import { toClientAddress } from '../client-address.ts';
import type { Contract } from '../contract.ts';
import { decide, pathsOf } from '../token/decide.ts';
import { fromRecord, type RetoldRefusal } from '../token/refusals.ts';
import type { Explanation } from '../types.ts';
import { explainEarlyRefusal, explainOutcome } from './explanation.ts';

export interface ExplainResource {
  findSubject(question: SubjectQuestion): Promise<CredentialAnswer>;
  findFacts(subject: Subject, paths: readonly string[]): Promise<Facts>;
  /** The record of a refusal, by its id or a prefix of it; also one that is not written yet. */
  findRefusal(requestId: string): Promise<RefusalRecord | undefined>;
  now(): Date;
}

/** Explains rule by rule how the token endpoint would decide on scopes for a subject. */
export function explain(contract: Contract, resource: ExplainResource): Middleware {
  return async (ctx) => {
    const input = contract.parseExplainRequest(await readJson(ctx.req));
    const now = input.at === undefined ? resource.now() : new Date(input.at);
    const clientAddress = readAddress(input.ip);
    const asked = parseScopes(splitScopes(input.scopes));
    const subject = await identify(resource, input.as, input.token_scopes, now);
    const when = { now, client: clientAddress.text };
    if (typeof subject === 'string') {
      ctx.body = explainEarlyRefusal(when, unauthorized(subject), asked);
      return;
    }
    const facts = await resource.findFacts(subject, pathsOf(asked));
    ctx.body = explainOutcome(when, subject, asked, decide({ subject, asked, facts, now, clientAddress }));
  };
}

function readAddress(text = '127.0.0.1'): ClientAddress {
  const address = toClientAddress(text);
  if (address.isIn('0.0.0.0/0') || address.isIn('::/0')) return address;
  throw new CellpassError('invalid', `${text} is not an IP address`);
}

/** Explains a refused request, by deciding again on the facts that were recorded with it. */
export function explainRequest(
  contract: Contract,
  resource: Pick<ExplainResource, 'findRefusal'>,
): Middleware {
  const parameters = contract.parametersOf('explainRequest');
  return async (ctx) => {
    const record = await resource.findRefusal(parameters(ctx).path.id);
    if (record === undefined) {
      throw new CellpassError(
        'not_found',
        'no refusal with this id is recorded: the request was granted in full, or the record is too old',
      );
    }
    ctx.body = retell(fromRecord(record));
  };
}

function retell({ now, client, error, question }: RetoldRefusal): Explanation {
  const when = { now, client };
  if (question === null) return explainEarlyRefusal(when, error, null);
  return explainOutcome(when, question.subject, question.asked, { ...decide(question), refusal: error });
}

/** @throws {CellpassError} `not_found` when there is no subject with this name or id. */
async function identify(
  resource: Pick<ExplainResource, 'findSubject'>,
  who: string,
  tokenScopes: readonly string[] | undefined,
  now: Date,
): Promise<Outcome<Subject>> {
  if (who === 'anonymous') return ANONYMOUS;
  const question = toQuestion(who);
  const found = await resource.findSubject(question);
  const outcome = fromAnswer(question, found, tokenScopes, now);
  if (outcome === 'unknown') throw new CellpassError('not_found', `there is no ${who.replace(':', ' ')}`);
  return typeof outcome === 'string' || tokenScopes === undefined
    ? outcome
    : withTokenScopes(outcome, tokenScopes);
}

function toQuestion(who: string): SubjectQuestion {
  const colon = who.indexOf(':');
  const kind = who.slice(0, colon);
  const name = who.slice(colon + 1);
  if (kind === 'token' || kind === 'job') return { kind, id: Number(name) };
  return kind === 'user' ? { kind, name: lowerCaseAscii(name) } : { kind: 'deploy_token', name };
}

function fromAnswer(
  question: SubjectQuestion,
  found: CredentialAnswer,
  tokenScopes: readonly string[] | undefined,
  now: Date,
): Outcome<Subject> {
  if (question.kind === 'job') return fromJob(found.job, now);
  if (question.kind !== 'user') return fromToken(found, found.deployToken?.username ?? '', now);
  if (found.account === null) return 'unknown';
  if (tokenScopes === undefined) return fromAccount(found.account, found.passwordAuthentication);
  return whyNoLogin(found.account) ?? toUser(found.account, tokenScopes);
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
