import { z } from 'zod';
import { isMapping } from '../mapping.ts';

/** What an identity demands of the claims of an ID token, as documents and settings write it. */

/** One text, one of several texts, or the beginning of a text. */
export type ClaimPin = string | readonly string[] | { readonly prefix: string };

/** By the path of a claim, such as `repository_id` or `kubernetes.io.serviceaccount.uid`. */
export type ClaimPins = Readonly<Record<string, ClaimPin>>;

/** The only claim whose beginning may be enough: a ref has no end that somebody else may choose. */
const PREFIX_CLAIM = 'ref';
const MOST_CLAIMS = 32;
const MOST_VALUES = 100;
const LONGEST_VALUE = 1024;

/** Control characters, and halves of surrogate pairs, which the database can't store. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;
const value = z
  .string('must be text: put it in quotes')
  .min(1, 'must not be empty')
  .max(LONGEST_VALUE)
  .refine((text) => !UNPRINTABLE.test(text), 'must not contain control characters');

const pin = z.union(
  [
    value,
    z.array(value).min(1, 'must not be an empty list').max(MOST_VALUES),
    z.strictObject({ prefix: value }),
  ],
  {
    error: ({ input }) => wrongPin(input),
  },
);

/**
 * Empty values, lists and prefixes are refused: each would match more than its author meant.
 * @see docs/keyless.md
 */
export const claimPins: z.ZodType<ClaimPins> = z
  .custom<object>(isMapping, {
    error: ({ input }) => (input === undefined ? 'is missing' : 'must be a mapping from claims to values'),
  })
  // A parser of mappings would drop it, and the identity would demand less than its author wrote.
  .refine((given) => !Object.hasOwn(given, '__proto__'), 'must not pin __proto__')
  .pipe(z.record(value, pin))
  .superRefine((pins, context) => {
    const names = Object.keys(pins);
    if (names.length === 0)
      context.addIssue('must name at least one claim: without any, every token matches');
    if (names.length > MOST_CLAIMS) context.addIssue(`must have at most ${MOST_CLAIMS} claims`);
    for (const [name, demanded] of Object.entries(pins)) {
      if (typeof demanded !== 'object' || !('prefix' in demanded) || name === PREFIX_CLAIM) continue;
      context.addIssue({
        code: 'custom',
        path: [name],
        message: `must be a whole value: a prefix is for the claim ${PREFIX_CLAIM} alone`,
      });
    }
  });

function wrongPin(input: unknown): string {
  if (typeof input === 'object' && input !== null)
    return 'must be a text, a list of texts, or {prefix: …} with a text that is not empty';
  return 'must be text: put it in quotes';
}

/** What is demanded of a claim, which may have the name of what every object has, as `constructor`. */
export function pinOf(pins: ClaimPins, claim: string): ClaimPin | undefined {
  return Object.hasOwn(pins, claim) ? pins[claim] : undefined;
}

/** The demands of an issuer that an identity does not make. */
export function missingPins(pins: ClaimPins, mustPin: readonly string[]): readonly string[] {
  return mustPin.filter((name) => !Object.hasOwn(pins, name));
}
