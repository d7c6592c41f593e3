import type { Authenticator } from '../../../authn/authenticate.ts';
import { unauthorized } from '../../../authn/basic.ts';
import { type ComparedAnswer, readToken } from '../../../comparison/answer.ts';
import { compareAnswers } from '../../../comparison/compare.ts';
import type { ComparisonOutcome } from '../../../comparison/outcome.ts';
import type { ExpectedDifference, RailsRules } from '../../../config/rails.ts';
import { CellpassError } from '../../../errors.ts';
import type { StoredDifference } from '../../../store/records/differences.ts';
import type { RequestContext } from '../../request-state.ts';
import { withDeadline } from '../deadline.ts';
import { draftToken } from '../draft-token.ts';
import { type Admitted, type Judge, judge } from '../judge.ts';
import type { DraftToken, OutcomeDraft, TokenOutcome } from '../outcome.ts';
import type { TokenRequest } from '../request.ts';
import { type RailsAnswer, type RailsClient, type RailsRequest, tokenOf } from './client.ts';
import { type FoundDifference, ruleOf, toStoredDifference } from './difference-record.ts';
import { type OwnSide, toOwnSide } from './own-side.ts';

/** Compares the answers of Rails and cellpass, never in the client's way. */
export interface Comparer {
  /** Rails answers: decides for itself at the same time. */
  compareBeside(answering: Promise<RailsAnswer>, context: RequestContext, observed: Observed): void;
  /** Cellpass has answered: asks Rails about some of the requests, behind the answer. */
  compareBehind(
    rails: RailsRequest,
    context: RequestContext,
    outcome: TokenOutcome,
    request: TokenRequest,
  ): void;
}

/** A request that Rails answers. */
export interface Observed {
  /** What is known of it so far. */
  readonly outcome: OutcomeDraft;
  /** Null: cellpass would have refused it already, by `outcome.error`. */
  readonly admitted: (Pick<Admitted, 'request' | 'asked' | 'choice'> & { readonly self: number }) | null;
}

export interface ComparerOptions {
  readonly judge: Judge;
  readonly issuer: string;
  readonly client: Pick<RailsClient, 'ask'>;
  readonly rules: () => RailsRules;
  readonly record: {
    count(outcome: ComparisonOutcome, at: Date): void;
    add(difference: StoredDifference): void;
  };
  /** From 0 to below 1; default: `Math.random`. */
  readonly random?: () => number;
}

/** At once; above that, comparisons are left out. */
const MOST_AT_ONCE = 64;
/** Whose share of the connections samples take: never that of a client. */
const SAMPLES = 'samples';
/** For the own side. Nobody waits for it, but it holds a place. */
const DECIDE_MS = 5000;

export function createComparer(options: ComparerOptions): Comparer {
  const { client, rules, record, random = Math.random } = options;
  let underWay = 0;

  const inPlace = (context: RequestContext, work: () => Promise<void>): void => {
    if (underWay >= MOST_AT_ONCE) {
      record.count('dropped', context.now);
      return;
    }
    underWay += 1;
    work()
      .catch(() => record.count('unanswered', context.now))
      .finally(() => {
        underWay -= 1;
      });
  };
  const note = (answer: RailsAnswer | null, own: OwnSide, context: RequestContext): void => {
    const waitedSeconds = (performance.now() - context.startedAtMs) / 1000;
    const { outcome, found } = weigh(answer, { ...own, waitedSeconds }, rules().expectedDifferences);
    record.count(outcome, context.now);
    if (found !== null) record.add(toStoredDifference(found, own, context));
  };
  return {
    compareBeside: (answering, context, observed) =>
      inPlace(context, async () => {
        const [rails, own] = await Promise.all([
          answering.catch(() => null),
          decideFor(options, context, observed),
        ]);
        note(rails, own, context);
      }),
    compareBehind: (request, context, outcome, { credentials }) => {
      if (!isComparable(outcome) || random() * 100 >= rules().comparePercent) return;
      const own = toOwnSide(outcome, issuedOf(outcome), credentials);
      // Whether the credentials are right is not known, so they may be a guess.
      if (own.answer === null) return;
      inPlace(context, async () => {
        const { gone, ...sample } = { ...request, network: SAMPLES };
        note(await client.ask(sample).catch(() => null), own, context);
      });
    },
  };
}

/** A request that Rails answered is not asked of it twice, and it must not count failures again. */
function isComparable({ passedOn, cell, error }: TokenOutcome): boolean {
  if (passedOn !== null || cell?.forwarded === true) return false;
  return !(
    error instanceof CellpassError && ['unauthorized', 'wrong_cell', 'too_many_failures'].includes(error.code)
  );
}

/** A token that was signed for an earlier request ends sooner than a new one. */
function issuedOf({ issued }: TokenOutcome): DraftToken | null {
  return issued && { ...issued, endsEarly: issued.endsEarly || issued.reused };
}

async function decideFor(
  { judge: deps, issuer }: ComparerOptions,
  context: RequestContext,
  { outcome, admitted }: Observed,
): Promise<OwnSide> {
  if (admitted === null) return toOwnSide(outcome, null, null);
  const { self, ...parts } = admitted;
  const { credentials } = parts.request;
  try {
    const judged = await withDeadline(performance.now() + DECIDE_MS, (deadline) =>
      judge({ ...deps, authenticator: withoutCounting(deps.authenticator) }, context, outcome, {
        ...parts,
        waitForPassword: () => deadline.signal(),
      }),
    );
    if (judged === 'elsewhere') throw new CellpassError('internal', 'nobody else was asked');
    if (judged.refusal !== null) throw judged.refusal;
    return toOwnSide(outcome, draftToken(judged, { issuer, cell: self, now: context.now }), credentials);
  } catch (error) {
    outcome.error = error;
    return toOwnSide(outcome, null, credentials);
  }
}

/** Rails alone counts the attempts that it answers. */
function withoutCounting({ passwords }: Authenticator): Authenticator {
  return {
    passwords,
    failedAttempts: {
      refuseKnown: () => undefined,
      admitPassword: async () => ({
        refuseIfLimited: () => undefined,
        failed: async (reason) => unauthorized(reason),
        succeeded: () => undefined,
      }),
      tokenFailed: async (_, reason) => unauthorized(reason),
    },
  };
}

interface Weighed {
  readonly outcome: ComparisonOutcome;
  /** Null: nothing to record. */
  readonly found: FoundDifference | null;
}

function weigh(
  answer: RailsAnswer | null,
  own: OwnSide & { readonly waitedSeconds: number },
  expected: readonly ExpectedDifference[],
): Weighed {
  const rails = answer === null ? null : toCompared(answer);
  if (rails === null || own.answer === null) return { outcome: 'unanswered', found: null };
  const comparison = compareAnswers(rails, own.answer, own);
  if (comparison.outcome === 'equal') return { outcome: 'equal', found: null };
  if (comparison.outcome === 'ends_sooner') return { outcome: 'expected', found: null };
  for (const difference of comparison.differences) {
    const rule = ruleOf(difference, own);
    const isExpected = expected.some((one) => one.rule === rule && one.credential === own.credential);
    if (!isExpected)
      return { outcome: 'differing', found: { difference, rule, rails, cellpass: own.answer } };
  }
  return { outcome: 'expected', found: null };
}

const JSON_TYPE = /^application\/json\b/i;

/** Null: Rails has failed, or it answered with a page, as for a ban. */
function toCompared({ status, contentType, body }: RailsAnswer): ComparedAnswer | null {
  if (status >= 500 || !JSON_TYPE.test(contentType ?? '')) return null;
  if (status >= 400) return { status, token: null };
  const token = readToken(tokenOf(body) ?? '');
  return token && { status, token };
}
