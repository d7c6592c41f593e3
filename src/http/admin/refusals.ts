import type { Middleware } from 'koa';
import { parseRange, rangeProblem } from '../../addresses.ts';
import { lowerCaseAscii } from '../../ascii.ts';
import { CellpassError } from '../../errors.ts';
import { reasonOf } from '../../policy/reasons.ts';
import { printScope } from '../../policy/scope.ts';
import { credentialOf, subjectName } from '../../policy/subject.ts';
import type { RefusalPage, RefusalQuestion } from '../../store/records/refusal-search.ts';
import type { StoredRefusal } from '../../store/records/refusals.ts';
import type { Contract } from '../contract.ts';
import type { ParametersOf } from '../contract-parameters.ts';
import { answerFor } from '../error-handler.ts';
import { decide, type Question } from '../token/decide.ts';
import { toPastRefusal } from '../token/refusal-record.ts';
import type { RefusalPageView, RefusalView } from '../types.ts';
import { explainDropped, explainRefusal } from './explanation.ts';
import { USUAL_PAGE } from './parameters.ts';
import { printPlace, readPlace, toDate } from './places.ts';

export interface RefusalResource {
  /** Finds recorded refusals, and those that this process has not written yet. */
  search(question: RefusalQuestion): Promise<RefusalPage>;
}

/** Lists refused requests and tokens with less than asked, the latest first. */
export function listRefusals(contract: Contract, resource: RefusalResource): Middleware {
  const parameters = contract.parametersOf('listRefusals');
  return async (ctx) => {
    const { refusals, hasMore } = await resource.search(toQuestion(parameters(ctx)));
    const last = refusals.at(-1);
    ctx.body = {
      refusals: refusals.map(toView),
      ...(hasMore &&
        last && { next: printPlace({ at: new Date(last.record.at), requestId: last.requestId }) }),
    } satisfies RefusalPageView;
  };
}

/** @throws {CellpassError} `invalid` for what is no address, and for a place that is none. */
function toQuestion({ query = {} }: ParametersOf<'listRefusals'>): RefusalQuestion {
  const { since: sinceText, repository, address, after, limit = USUAL_PAGE, ...filter } = query;
  const since = toDate(sinceText);
  return {
    ...filter,
    ...(since !== undefined && { since }),
    ...(repository !== undefined && { repository: lowerCaseAscii(repository) }),
    ...(address !== undefined && { addresses: readRange(address) }),
    after: after === undefined ? null : readPlace(after),
    limit,
  };
}

function readRange(text: string): string {
  const range = parseRange(text);
  if (range !== null) return range.text;
  throw new CellpassError(
    'invalid',
    `address ${rangeProblem(text, 'must be an IP address, or a range such as 10.0.0.0/8')}`,
  );
}

function toView({ requestId, record }: StoredRefusal): RefusalView {
  const { error, question } = toPastRefusal(record);
  const { early } = record;
  const common = { request_id: requestId, time: record.at, address: record.client };
  const cause =
    error === null ? causeOf(question) : pickCause(explainRefusal(error), answerFor(error.code).status);
  if (question === null) {
    return {
      ...common,
      subject: early?.subject ?? null,
      ...(early?.account && { account: early.account }),
      ...(early?.credential && { credential: early.credential }),
      asked: [...(early?.asked ?? [])],
      ...cause,
    };
  }
  const { scopes, dropped } = question.asked;
  return {
    ...common,
    subject: subjectName(question.subject),
    credential: credentialOf(question.subject),
    asked: [...scopes.map(printScope), ...dropped.map(({ text }) => text)],
    ...cause,
  };
}

type Cause = Pick<RefusalView, 'reason' | 'message' | 'status'>;

function pickCause({ reason, message }: { reason: string; message: string }, status: number): Cause {
  return { reason, message, status };
}

const GRANTED = 200;

/** The first action or scope that was not granted, by the rule that decided. */
function causeOf(question: Question | null): Cause {
  const unknown = { reason: 'granted_less', message: 'less was granted than asked' };
  if (question === null) return pickCause(unknown, GRANTED);
  const refused = decide(question).decision.rulings.find(({ verdict }) => verdict !== 'grant');
  if (refused !== undefined) {
    const { scope, action, rule } = refused;
    return pickCause({ reason: rule, message: `${scope.name}:${action}: ${reasonOf(refused)}` }, GRANTED);
  }
  const [dropped] = question.asked.dropped;
  return pickCause(dropped === undefined ? unknown : explainDropped(dropped.why), GRANTED);
}
