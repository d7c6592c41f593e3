/** What a command needs from outside; tests give their own. */
export interface Terminal {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Data, and nothing else. */
  readonly stdout: (text: string) => void;
  /** Notes and errors. */
  readonly stderr: (text: string) => void;
}
