import type { z } from 'zod';
import { didYouMean } from '../nearest-name.ts';
import type { Path } from './yaml.ts';

export interface ExplainedIssue {
  readonly path: Path;
  readonly message: string;
}

/** How an unknown key is reported. */
interface Wording {
  readonly unknownKey: string;
  /** Whether the known keys follow where none is near. */
  readonly namesOthers: boolean;
}

const FIELDS: Wording = { unknownKey: 'is not a known field', namesOthers: false };
export const SETTINGS: Wording = { unknownKey: 'is not a setting', namesOthers: true };

/** Characters of a list of known keys that a reader still looks through. */
const LONGEST_LIST = 150;

/** In one mapping: a person mends the first mistakes first. */
const MOST_SUGGESTIONS = 20;

/**
 * For `safeParse`: messages that follow the path of a value ("listen: must be text"), for every
 * check that has no message of its own. Only numbers are repeated: text may be a secret.
 */
export const IN_WORDS = { error: describeIssue } as const;

/**
 * The problems of one issue: a problem for each unknown key, or one problem.
 * @param knownKeys the keys that the mapping at a path may have.
 */
export function explainIssue(
  issue: z.core.$ZodIssue,
  content: unknown,
  knownKeys: (path: Path) => readonly string[],
  { unknownKey, namesOthers }: Wording = FIELDS,
): readonly ExplainedIssue[] {
  const path = issue.path.map((step) => (typeof step === 'symbol' ? String(step) : step));
  if (issue.code === 'unrecognized_keys') {
    const known = knownKeys(path);
    return issue.keys.map((key, at) => ({
      path: [...path, key],
      message: `${unknownKey}${at < MOST_SUGGESTIONS ? didYouMean(key, known) || (namesOthers ? listed(known) : '') : ''}`,
    }));
  }
  return [{ path, message: toMessage(issue, valueAt(content, path)) }];
}

/**
 * A schema's own message ("must be text") also covers a missing or too long value: here it must
 * not.
 */
function toMessage(issue: z.core.$ZodIssue, value: unknown): string {
  // A missing value has no problems of its own: it is a word of a text that was split.
  if (value === undefined && issue.code !== 'custom') return 'is missing';
  if (issue.code === 'too_big' && issue.origin === 'string') {
    return `must have at most ${issue.maximum} characters`;
  }
  return issue.message;
}

function listed(known: readonly string[]): string {
  const list = known.join(', ');
  return list === '' || list.length > LONGEST_LIST ? '' : `; use one of: ${list}`;
}

function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type':
      return `must be ${NOUNS[issue.expected] ?? issue.expected}`;
    case 'invalid_value':
      return issue.values.length > 1
        ? `must be one of: ${issue.values.join(', ')}${nearestOf(issue.input, issue.values)}`
        : undefined;
    case 'invalid_key':
      return issue.issues[0]?.message;
    case 'too_small':
      if (issue.origin === 'string') return 'must not be empty';
      return `must be ${issue.minimum} or more, but is ${String(issue.input)}`;
    case 'too_big':
      return `must be ${issue.maximum} or less, but is ${String(issue.input)}`;
    default:
      return undefined;
  }
}

/** Names one of the values that are allowed, never the value that was given. */
function nearestOf(given: unknown, values: readonly unknown[]): string {
  return typeof given === 'string' ? didYouMean(given, values.map(String)) : '';
}

const NOUNS: Readonly<Record<string, string>> = {
  array: 'a list',
  boolean: 'true or false',
  int: 'a whole number',
  number: 'a number',
  object: 'a mapping',
  record: 'a mapping',
  string: 'text: put it in quotes',
};

export function valueAt(content: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (isRecord(value) ? value[step] : undefined), content);
}

export function isRecord(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null;
}
