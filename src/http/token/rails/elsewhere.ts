import type { JudgeElsewhere, VerdictElsewhere } from '../../../authn/authenticate.ts';
import { unauthorized } from '../../../authn/basic.ts';
import { CellpassError } from '../../../errors.ts';
import type { OutcomeDraft } from '../outcome.ts';
import type { RailsAnswer, RailsRequest } from './client.ts';
import { passOn, type RailsBeside } from './passing.ts';
import type { PassReason } from './who-answers.ts';

/** Asks Rails about a request that this server can't judge to its end. */
export interface Elsewhere {
  readonly judgeElsewhere: JudgeElsewhere;
  /** The answer by which the credentials were not refused. */
  answer(): RailsAnswer;
  /** @throws {CellpassError} `unauthorized` where Rails says so, so that all refusals look alike. */
  ask(reason: 'external_authorization' | 'first_push'): Promise<RailsAnswer>;
}

/** @param begin is called before Rails is asked, which may take longer than other work. */
export function createElsewhere(
  rails: RailsBeside,
  request: RailsRequest,
  outcome: OutcomeDraft,
  begin: () => void,
): Elsewhere {
  let last: RailsAnswer | undefined;
  const askRails = async (reason: PassReason): Promise<RailsAnswer> => {
    begin();
    last = await passOn(rails, request, reason, outcome);
    return last;
  };
  return {
    judgeElsewhere: async (reason) => verdictOf(await askRails(reason)),
    answer: () => {
      if (last === undefined) throw new CellpassError('internal', 'Rails was not asked');
      return last;
    },
    ask: async (reason) => {
      const answer = await askRails(reason);
      if (answer.status === 401) throw unauthorized('unknown');
      return answer;
    },
  };
}

/** Rails answers a POST, a flood, and what it fails at without a look at the credentials. */
function verdictOf({ status }: RailsAnswer): VerdictElsewhere {
  if (status === 401) return 'refused';
  return status < 300 ? 'accepted' : 'unknown';
}
