import { RE2JS } from 're2js';
import { z } from 'zod';
import { parseRange, rangeProblem } from '../../addresses.ts';
import { lowerCaseAscii } from '../../ascii.ts';
import { FIRST_UNNAMED_ID } from '../../store/directory/rows.ts';

/**
 * The single values of a document. A message follows the path of its value ("users[0].id: must be
 * …").
 */

const PATH_COMPONENT = /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/;
const RESERVED_ENDING = /(\.|\.git|\.atom)$/i;
/** A path is the key of an index, whose rows are limited to 2.7 KB. */
const MAX_PATH_LENGTH = 1000;
const MAX_NAME_LENGTH = 255;
/**
 * Control characters (PostgreSQL can't store NUL) and halves of surrogate pairs (JSON can't hold
 * them).
 */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u;

const text = z
  .string('must be text: put it in quotes')
  .refine((value) => !UNPRINTABLE.test(value), 'must not contain control characters');

/** A display name: one line of text. */
export const name = text.min(1, 'must not be empty').max(MAX_NAME_LENGTH);

/** GitLab's rule for paths of namespaces and projects, ASCII only. */
function isPathComponent(component: string): boolean {
  return (
    component.length <= MAX_NAME_LENGTH && PATH_COMPONENT.test(component) && !RESERVED_ENDING.test(component)
  );
}

const COMPONENT_RULE =
  'letters, digits, "_", "." and "-", not starting with "-" or ".", not ending in ".", ".git" or ".atom"';

export const component = text.refine(isPathComponent, `must consist of ${COMPONENT_RULE}`);

export const fullPath = text
  .max(MAX_PATH_LENGTH)
  .refine(
    (path) => path.split('/').every(isPathComponent),
    `must be names joined by "/", each of ${COMPONENT_RULE}`,
  );

export const projectPath = fullPath.refine(
  (path) => path.includes('/'),
  'must begin with the group or user that the project belongs to',
);

export const id = z
  .int('must be a whole number')
  .min(1, 'must be 1 or more')
  .max(Number.MAX_SAFE_INTEGER)
  .refine((value) => value < FIRST_UNNAMED_ID, `must be below ${FIRST_UNNAMED_ID}`);

export const email = text
  .max(254)
  .regex(/^[^\s@]+@[^\s@]+$/, 'must be an e-mail address')
  .nullish()
  .transform((value) => value ?? null);

export const flag = (whenAbsent: boolean) => z.boolean('must be true or false').default(whenAbsent);

const isSensibleYear = (value: string): boolean => value >= '1970' && value < '9999';

/** `yyyy-mm-dd`, an existing day. */
const dateOnly = z.iso
  .date('must be a date that exists, as yyyy-mm-dd')
  .refine(isSensibleYear, 'must be a year from 1970 to 9998');

export const date = dateOnly.nullish().transform((value) => value ?? null);

/** A date and time with its zone. Leap seconds are refused, because `Date` can't hold them. */
export const dateTime = z.iso
  .datetime({
    offset: true,
    error: 'must be a date and time with its zone, as 2027-01-31T00:00:00Z, or a date',
  })
  .refine(isSensibleYear, 'must be a year from 1970 to 9998');

/** A date alone means its first moment in UTC. Gives ISO 8601 in UTC. */
export const timestamp = z
  .string('must be a date and time, as 2027-01-31T00:00:00Z')
  .transform((value) => (/^\d{4}-\d\d-\d\d$/.test(value) ? `${value}T00:00:00Z` : value))
  .pipe(dateTime)
  .transform((value) => new Date(value).toISOString())
  .nullish()
  .transform((value) => value ?? null);

/** A fast digest protects only long random strings, so short tokens are refused. */
export const token = text.min(20, 'must have 20 characters or more').max(4096).optional();

export const tokenSha256 = z
  .string('must be text: put it in quotes')
  .regex(/^[0-9a-fA-F]{64}$/, 'must be a SHA-256 in 64 hex digits')
  .transform((value) => value.toLowerCase())
  .optional();

export const password = text.min(1, 'must not be empty').max(1024).optional();

/** Libraries write the three parameters in different orders. */
const ARGON2ID =
  /^\$argon2id\$v=19\$([mtp]=\d{1,7},[mtp]=\d{1,7},[mtp]=\d{1,7})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{16,86}$/;
/**
 * KiB times passes: about a third of a second of one core, for each login of the user, right or
 * wrong.
 */
const MAX_COST_KIB = 4 * 64 * 1024;
const MAX_MEMORY_KIB = 64 * 1024;

export const passwordHash = z
  .string('must be text: put it in quotes')
  .refine(
    isArgon2id,
    'must be an argon2id hash such as $argon2id$v=19$m=19456,t=2,p=1$…, of at most 64 MiB and 4 lanes, and 256 MiB times passes',
  )
  .optional();

function isArgon2id(hash: string): boolean {
  const parameters = new Map(
    ARGON2ID.exec(hash)?.[1]
      ?.split(',')
      .map((text) => [text[0], Number(text.slice(2))]),
  );
  const [memory = 0, passes = 0, lanes = 0] = ['m', 't', 'p'].map((name) => parameters.get(name));
  if (passes < 1 || lanes < 1 || lanes > 4) return false;
  return memory >= 8 * lanes && memory <= MAX_MEMORY_KIB && memory * passes <= MAX_COST_KIB;
}

/** Unknown scopes are allowed and give no access. */
export const scopes = z
  .array(
    text.max(MAX_NAME_LENGTH).regex(/^[a-z][a-z0-9_:]*$/, 'must be a scope such as read_registry'),
    'must be a list of scopes',
  )
  .min(1, 'must name at least one scope')
  .transform((list) => [...new Set(list)]);

/** A CIDR range or one address, as in `ClientAddress.isIn`. */
export const ipRange = text.refine((range) => parseRange(range) !== null, {
  error: ({ input }) => rangeProblem(String(input), 'must be a CIDR range such as 10.0.0.0/8 or an address'),
});

const MAX_PATTERN_LENGTH = 100;

export const repositoryPattern = text
  .max(MAX_PATTERN_LENGTH)
  .regex(/^[A-Za-z0-9_./*-]+$/, 'must be a repository path, with "*" as the only wildcard');

/** RE2, the syntax that the registry uses. */
export const tagPattern = text
  .min(1, 'must not be empty')
  .max(MAX_PATTERN_LENGTH)
  .superRefine((pattern, context) => {
    try {
      RE2JS.compile(pattern);
    } catch (error) {
      context.addIssue(`is not an RE2 pattern: ${error instanceof Error ? error.message : String(error)}`);
    }
  });

/** The form in which paths, user names and e-mail addresses are compared. */
export const keyOf = lowerCaseAscii;
