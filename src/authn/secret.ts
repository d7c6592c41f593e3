import { hash } from 'node:crypto';
import { inspect } from 'node:util';

const REDACTED = '[redacted]';

/**
 * The secret of one request. Logs, JSON and error messages show `[redacted]` in its place, so that
 * a question that carries a secret can be passed on without care.
 */
export class Secret {
  readonly #text: string;
  #sha256: Uint8Array | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** The secret itself: for a source that derives something else than a SHA-256 from it. */
  reveal(): string {
    return this.#text;
  }

  /** Computed once, because a source and the cache in front of it both look secrets up by it. */
  sha256(): Uint8Array {
    this.#sha256 ??= hash('sha256', this.#text, 'buffer');
    return this.#sha256;
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
