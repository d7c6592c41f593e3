import type { Ajv2020, ErrorObject } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { dateTime, timestamp } from '../directory/document/fields.ts';
import { CellpassError, type ErrorCode, type Problem } from '../errors.ts';
import { LONGEST_MESSAGE, shortened } from '../shortened.ts';
import { isUuid, isUuidPrefix, SHORTEST_PREFIX } from '../store/records/uuid-prefix.ts';

const CREDENTIAL = /^((access|deploy|job)-[1-9][0-9]{0,18}|identity-[a-z0-9_-]{1,64}|password|anonymous)$/;

const SUBJECT =
  /^((user|deploy-token|identity):[^\0]+|token:(access-|deploy-)?[1-9][0-9]{0,15}|job:(job-)?[1-9][0-9]{0,15})$/u;
const SUBJECTS = 'user:NAME, token:ID, deploy-token:NAME, job:ID, identity:NAME';

/** What the formats of the contract mean, where that differs from ajv's own reading. */
const FORMATS: Record<string, { readonly accepts: (text: string) => boolean; readonly message: string }> = {
  // ajv's grammar takes leap seconds, which no `Date` can hold.
  'date-time': {
    accepts: (text) => dateTime.safeParse(text).success,
    message: 'must be a date and time with its zone, as 2027-01-31T00:00:00Z',
  },
  moment: {
    accepts: (text) => timestamp.safeParse(text).success,
    message: 'must be a date and time with its zone, as 2027-01-31T00:00:00Z, or a date from 1970 to 9998',
  },
  credential: {
    accepts: (text) => CREDENTIAL.test(text),
    message:
      'must be the name of a credential, such as access-12, deploy-3, job-7, identity-NAME, password or anonymous',
  },
  subject: {
    accepts: (text) => SUBJECT.test(text),
    message: `must name a subject: ${SUBJECTS.replace(/, (?=[^,]*$)/, ' or ')}`,
  },
  'subject-or-anonymous': {
    accepts: (text) => text === 'anonymous' || SUBJECT.test(text),
    message: `must name a subject: ${SUBJECTS} or anonymous`,
  },
  uuid: { accepts: isUuid, message: 'must be a UUID' },
  'uuid-prefix': {
    accepts: isUuidPrefix,
    message: `must be a UUID, or its first ${SHORTEST_PREFIX} characters or more`,
  },
};

/** Teaches ajv the formats that the contract names. */
export function addFormats(ajv: Ajv2020): void {
  formats.default(ajv);
  for (const [name, { accepts }] of Object.entries(FORMATS)) ajv.addFormat(name, accepts);
}

/** Leaves room for the number of the others. */
const LONGEST_LISTED = 280;

/**
 * The error for an input that breaks a schema: one message, and each problem by its place in the
 * input.
 */
export function violation(code: ErrorCode, problems: readonly Problem[]): CellpassError {
  return new CellpassError(code, joined(problems), { problems });
}

/** As many problems as one message may have, and the number of the others. */
function joined(problems: readonly Problem[]): string {
  const texts = problems.map(({ path, message }) => shortened(`${path} ${message}`.trim(), LONGEST_LISTED));
  const whole = texts.join('; ');
  if (whole.length <= LONGEST_MESSAGE) return whole;
  const [first = '', ...others] = texts;
  let message = first;
  let count = 0;
  for (const text of others) {
    if (`${message}; ${text}`.length > LONGEST_LISTED) break;
    message = `${message}; ${text}`;
    count += 1;
  }
  const left = others.length - count;
  return left === 0 ? message : `${message}; and ${left} more`;
}

/** `path` is the place in the input, such as `scopes.0`; the empty path is the input as a whole. */
export function toProblem(error: ErrorObject): Problem {
  return { path: error.instancePath.slice(1).replaceAll('/', '.'), message: messageOf(error) };
}

function messageOf({ keyword, message = 'is wrong', params }: ErrorObject): string {
  switch (keyword) {
    case 'additionalProperties':
      return `unknown field: ${String(params['additionalProperty'])}`;
    case 'required':
      return `missing field: ${String(params['missingProperty'])}`;
    case 'enum':
      return `must be one of: ${String(params['allowedValues']).replaceAll(',', ', ')}`;
    case 'format':
      return FORMATS[String(params['format'])]?.message ?? message;
    default:
      return message;
  }
}
