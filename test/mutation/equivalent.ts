/** A mutant that no test can notice, with the reason. Found again by the line's text, so that the list can't rot. */
export interface Equivalent {
  readonly file: string;
  /** The line, trimmed. */
  readonly code: string;
  /** As the report prints it. */
  readonly mutation: string;
  readonly because: string;
}

export const EQUIVALENT: readonly Equivalent[] = [];
