/** How one check came out. */
export interface Finding {
  /** What was looked at; the same in every run. */
  readonly name: string;
  /** `failed`: tokens are refused, or the server won't start; `warning`: they soon may be. */
  readonly outcome: 'ok' | 'warning' | 'failed';
  /** One line that says what to do, where something is to be done. */
  readonly message: string;
}

/** What a check says about what it looked at. */
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

export function named(name: string, { outcome, message }: Verdict): Finding {
  return { name, outcome, message };
}

/** Runs a check. What it throws is its failure, and none of another check. */
export async function check(name: string, look: () => Verdict | Promise<Verdict>): Promise<Finding> {
  const { finding } = await checkAndKeep(name, async () => ({ verdict: await look(), value: undefined }));
  return finding;
}

/** The same for a check that later ones build on; `value` undefined where it failed. */
export async function checkAndKeep<T>(
  name: string,
  look: () => Promise<{ readonly verdict: Verdict; readonly value: T }>,
): Promise<{ readonly finding: Finding; readonly value: T | undefined }> {
  try {
    const { verdict, value } = await look();
    return { finding: named(name, verdict), value };
  } catch (error) {
    return { finding: named(name, failed(reasonOf(error))), value: undefined };
  }
}

/** Node's fetch says only "fetch failed"; why is in the cause, which for a host with several addresses has a code and no message. */
export function reasonOf(error: unknown): string {
  const cause = error instanceof TypeError && error.cause !== undefined ? error.cause : error;
  if (!(cause instanceof Error)) return oneLine(String(cause));
  return oneLine(cause.message || codeOf(cause) || cause.name);
}

/** Such as `ECONNREFUSED`, also of a fetch. */
export function codeOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return codeOf(error.cause);
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim();
}
