/** What a command reads and where it writes; tests pass their own. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Only the data that was asked for. */
  readonly stdout: (text: string) => void;
  /** Notes and errors. */
  readonly stderr: (text: string) => void;
  /** Asks a person; missing where nobody can answer, as in a script. */
  readonly confirm?: (question: string) => Promise<boolean>;
}
