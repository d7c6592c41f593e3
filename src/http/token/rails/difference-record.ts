import type { ComparedAnswer } from '../../../comparison/answer.ts';
import type { Difference } from '../../../comparison/compare.ts';
import { CellpassError } from '../../../errors.ts';
import type { StoredDifference } from '../../../store/records/differences.ts';
import type { RequestContext } from '../../request-state.ts';
import { toErrorRecord, toQuestionRecord } from '../refusal-record.ts';
import type { OwnSide } from './own-side.ts';

/** A difference, and what it is between. */
export interface FoundDifference {
  readonly difference: Difference;
  readonly rule: string;
  readonly rails: ComparedAnswer;
  readonly cellpass: ComparedAnswer;
}

/**
 * What decided here: the rule of the policy, the reason of a refusal, or the claim that differs. Of
 * a closed set, so that differences can be grouped by it.
 */
export function ruleOf({ part, name, action }: Difference, { outcome }: OwnSide): string {
  const rulings = outcome.decision?.rulings ?? [];
  switch (part) {
    case 'status':
      if (outcome.error instanceof CellpassError) return outcome.error.reason;
      return rulings[0]?.rule ?? 'granted';
    case 'access': {
      const ruling = rulings.find((one) => one.scope.name === name && one.action === action);
      return ruling?.rule ?? 'not_asked';
    }
    default:
      return part;
  }
}

export function toStoredDifference(
  { difference, rule, rails, cellpass }: FoundDifference,
  { outcome, credential }: OwnSide,
  { requestId, now, clientAddress }: RequestContext,
): StoredDifference {
  const scope = outcome.asked?.scopes.scopes[0];
  const name = difference.name ?? scope?.name;
  const side = ({ status, token }: ComparedAnswer): { status: number; actions: string[] } => ({
    status,
    actions: (token?.access ?? [])
      .filter((entry) => entry.name === name)
      .flatMap(({ actions }) => actions)
      .sort(),
  });
  return {
    requestId,
    record: {
      at: now.toISOString(),
      client: clientAddress.text,
      credential,
      action: difference.action ?? scope?.actions.join(',') ?? '',
      rule,
      part: difference.part,
      sides: { rails: side(rails), cellpass: side(cellpass) },
      rails,
      cellpass,
      error: outcome.error instanceof CellpassError ? toErrorRecord(outcome.error) : null,
      question: toQuestionRecord(outcome),
    },
  };
}
