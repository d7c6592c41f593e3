import { z } from 'zod';
import { explainIssue, IN_WORDS } from '../../config/issues.ts';
import type { Problem } from '../../errors.ts';
import { type Abilities, accessTokenAbilities, deployTokenAbilities } from '../../policy/ability.ts';
import { ROLES } from '../../policy/role.ts';
import type { TokenKind } from '../../store/directory/tokens.ts';
import * as field from '../document/fields.ts';
import { printPath } from '../document/read.ts';
import { ACCESS_TOKEN_SCOPES, DEPLOY_TOKEN_SCOPES } from './scopes.ts';

/**
 * The request for a new token: the fields of its entry in a document, without those of an existing
 * secret.
 */
export interface TokenOrder {
  readonly kind: TokenKind;
  readonly name?: string;
  /** For a personal token. */
  readonly user?: string;
  /** For a project token. */
  readonly project?: string;
  /** For a deploy token, which has either projects or a group. */
  readonly projects?: readonly string[];
  readonly group?: string;
  /** For a project or group token: the role of its bot. */
  readonly role?: string;
  /** For a deploy token: the user name that clients log in with. */
  readonly username?: string;
  readonly scopes?: readonly string[];
  /**
   * The first day, in UTC, on which the token is expired; for a deploy token also a date and time.
   * Missing: the last day that the setting allows. Null: never, where the setting allows it.
   */
  readonly expires_at?: string | null;
}

type OrderForm = ReturnType<typeof orderForm>;
/** An order whose fields are valid. Its names may still be unknown. */
export type ValidOrder = z.output<OrderForm>;

export type ReadOrder =
  | { readonly order: ValidOrder; readonly problems: readonly [] }
  | { readonly order: null; readonly problems: readonly Problem[] };

/**
 * Checks the fields of an order. At most one problem for each field: the year of a malformed date
 * needs no problem of its own.
 * @param tokenDays how long the token may be good, and is by default; 0: no bound.
 */
export function readOrder(given: TokenOrder, now: Date, tokenDays: number): ReadOrder {
  const last = lastDay(now, tokenDays);
  const whole = given.expires_at === undefined ? { ...given, expires_at: last } : given;
  const parsed = orderForm(now, last, tokenDays).safeParse(whole, IN_WORDS);
  if (parsed.success) return { order: parsed.data, problems: [] };
  const problems = parsed.error.issues
    .flatMap((issue) =>
      explainIssue(issue, given, () => [], {
        unknownKey: `is not for ${given.kind} tokens`,
        namesOthers: false,
      }),
    )
    .map(({ path, message }) => ({ path: printPath(path), message }));
  const firsts = new Map(problems.toReversed().map((problem) => [problem.path, problem]));
  return { order: null, problems: [...firsts.values()].reverse() };
}

/**
 * The values have the form of a document's (`fields.ts`). A new token must have known scopes and
 * not be expired.
 */
function orderForm(now: Date, last: string | null, tokenDays: number) {
  const today = dayOf(now);
  const inBound = (end: string | null): boolean =>
    last === null || (end !== null && new Date(end) <= new Date(last));
  const tooLate = `must be ${last} or earlier: a token is good for ${tokenDays} days at most (limits.token_days)`;
  const access = {
    name: field.name.optional(),
    scopes: scopesAmong(ACCESS_TOKEN_SCOPES, 'access tokens', accessTokenAbilities),
    expires_at: field.date
      .refine(
        (date) => date === null || date > today,
        `must be after today, ${today}: on its date the token is expired already`,
      )
      .refine(inBound, tooLate),
  };
  const role = z.enum(ROLES);
  return z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('personal'), user: field.component, ...access }),
    z.strictObject({ kind: z.literal('project'), project: field.fullPath, role, ...access }),
    z.strictObject({ kind: z.literal('group'), group: field.fullPath, role, ...access }),
    z
      .strictObject({
        kind: z.literal('deploy'),
        name: field.name.optional(),
        username: field.name.optional(),
        projects: z.array(field.fullPath).min(1, 'must name at least one project').optional(),
        group: field.fullPath.optional(),
        scopes: scopesAmong(DEPLOY_TOKEN_SCOPES, 'deploy tokens', deployTokenAbilities),
        expires_at: field.timestamp
          .refine((time) => time === null || new Date(time) > now, 'must be in the future')
          .refine(inBound, tooLate),
      })
      .refine(({ projects, group }) => (projects === undefined) !== (group === undefined), {
        error: 'must have either projects or a group',
        // Also run when another field is wrong.
        when: () => true,
      }),
  ]);
}

const DAY_MS = 86_400_000;

/** The latest end of a token that is made now; null: there is no bound. */
export function lastDay(now: Date, tokenDays: number): string | null {
  return tokenDays === 0 ? null : dayOf(new Date(now.getTime() + tokenDays * DAY_MS));
}

function dayOf(time: Date): string {
  return time.toISOString().slice(0, 'yyyy-mm-dd'.length);
}

/** A message has no room for all scopes, most of which allow nothing at a registry. */
function scopesAmong(
  known: readonly string[],
  whose: string,
  abilities: (scopes: readonly string[]) => Abilities,
) {
  const useful = known.filter((scope) => abilities([scope]).size > 0);
  return field.scopes.superRefine((scopes, context) => {
    const unknown = scopes.filter((scope) => !known.includes(scope));
    if (unknown.length === 0) return;
    const named = unknown.map((scope) => `"${scope}"`).join(', ');
    context.addIssue(
      `${named}: not a scope of ${whose}, use some of: ${useful.join(', ')} (GitLab's other scopes allow nothing at a registry)`,
    );
  });
}
