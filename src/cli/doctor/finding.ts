import { CellpassError } from '../../errors.ts';
import { shortened } from '../../shortened.ts';

/** The result of one check. */
export interface Finding {
  /** The name of the check; the same in every run. */
  readonly name: string;
  /**
   * `failed`: tokens are refused, or the server does not start; `warning`: this may happen soon.
   */
  readonly outcome: 'ok' | 'warning' | 'failed';
  /** One line; it says what to do unless the outcome is `ok`. */
  readonly message: string;
  /** The problems that the message lists, each for a line of its own; not part of the JSON. */
  readonly problems?: readonly string[];
}

/** The result of a check, without the name of the check. */
export type Verdict = Omit<Finding, 'name'>;

export function ok(message: string): Verdict {
  return { outcome: 'ok', message };
}

export function warning(message: string): Verdict {
  return { outcome: 'warning', message };
}

export function failed(message: string): Verdict {
  return { outcome: 'failed', message };
}

/** Characters of a message, which says what to do as well. */
const LONGEST = 400;

export function named(name: string, { outcome, message }: Verdict): Finding {
  return { name: shortened(name), outcome, message: shortened(message, LONGEST) };
}

/** Runs a check. When it throws, this check has failed; other checks still run. */
export async function check(name: string, look: () => Verdict | Promise<Verdict>): Promise<Finding> {
  const { finding } = await checkWithValue(name, async () => ({ verdict: await look(), value: undefined }));
  return finding;
}

/**
 * Like `check`, for a check whose value later checks need; the value is undefined when the check
 * failed.
 */
export async function checkWithValue<T>(
  name: string,
  look: () => Promise<{ readonly verdict: Verdict; readonly value: T }>,
): Promise<{ readonly finding: Finding; readonly value: T | undefined }> {
  try {
    const { verdict, value } = await look();
    return { finding: named(name, verdict), value };
  } catch (error) {
    return { finding: failedBy(name, error), value: undefined };
  }
}

/** A list of problems is not cut: a reader would take a problem that is left out for none. */
function failedBy(name: string, error: unknown): Finding {
  const list = error instanceof CellpassError ? error.details.list : undefined;
  const message = reasonOf(error);
  if (list === undefined) return named(name, failed(message));
  return { name, outcome: 'failed', message, problems: list.texts };
}

/**
 * The reason in an error, on one line. Node's fetch says only "fetch failed", with the reason in
 * its cause; for a host with several addresses the cause has a code and no message.
 */
export function reasonOf(error: unknown): string {
  const cause = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof Error)) return oneLine(String(cause));
  return oneLine(cause.message || codeOf(cause) || cause.name);
}

/** The code of an error or of its cause, such as `ECONNREFUSED`. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return codeOf(error.cause);
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}
