import assert from 'node:assert/strict';
import { outcomeOf } from '../../../src/cli/commands/explain.ts';

type Explained = Parameters<typeof outcomeOf>[0];
type Verdict = Explained['scopes'][number]['actions'][number]['verdict'];

function explained(
  scopes: readonly (readonly Verdict[])[],
  { status, dropped = 0 }: { readonly status?: number; readonly dropped?: number } = {},
): Explained {
  return {
    refusal:
      status === undefined ? null : { status, code: 'DENIED', reason: 'denied', message: 'access denied' },
    scopes: scopes.map((verdicts) => ({
      scope: 'repository:acme/app:pull',
      project: null,
      actions: verdicts.map((verdict) => ({
        action: 'pull',
        verdict,
        rule: 'role',
        because: '',
        rules: [],
        needs: [],
      })),
    })),
    dropped: Array.from({ length: dropped }, () => ({ scope: 'x', because: 'syntax' })),
  };
}

describe('the first line of cellpass explain', () => {
  const rows: [what: string, explanation: Explained, outcome: string][] = [
    ['all actions', explained([['grant', 'grant'], ['grant']]), 'granted'],
    ['a login', explained([]), 'granted'],
    ['one action of two', explained([['grant', 'refuse']]), 'granted in part'],
    ['one scope of two', explained([['grant'], ['refuse']]), 'granted in part'],
    ['a scope beside one that was left out', explained([['grant']], { dropped: 1 }), 'granted in part'],
    ['no action', explained([['refuse', 'refuse'], ['refuse']]), 'nothing granted'],
    ['only scopes that were left out', explained([], { dropped: 1 }), 'nothing granted'],
    ['wrong credentials', explained([], { status: 401 }), 'refused 401'],
    ['a request that is forbidden', explained([['grant', 'forbid']], { status: 403 }), 'refused 403'],
  ];
  for (const [what, explanation, outcome] of rows)
    it(`is "${outcome}" for ${what}`, () => assert.equal(outcomeOf(explanation), outcome));
});
