import assert from 'node:assert/strict';
import type { Outcome } from '../../support/processes/child.ts';

/**
 * The messages of these clients for "not allowed"; a lost connection or a missing file has others.
 */
const REFUSAL = /unauthorized|denied|forbidden|authentication required|insufficient_scope|invalid username/i;

export function assertDone(outcome: Outcome): void {
  assert.equal(outcome.code, 0, text(outcome));
}

/** Asserts that the command failed because it was not allowed. */
export function assertRefused(outcome: Outcome): void {
  assert.notEqual(outcome.code, 0, text(outcome));
  assert.match(text(outcome), REFUSAL);
}

/**
 * Asserts that the command failed because the credentials were refused (cellpass's 401, never its
 * 403).
 */
export function assertUnauthorized(outcome: Outcome): void {
  assert.notEqual(outcome.code, 0, text(outcome));
  assert.match(text(outcome), /unauthorized|invalid username\/password/i);
}

/** Asserts that the command failed because the image does not exist. */
export function assertMissing(outcome: Outcome): void {
  assert.notEqual(outcome.code, 0, text(outcome));
  assert.match(text(outcome), /manifest[ _]unknown|not found|404/i);
}

function text({ stdout, stderr }: Outcome): string {
  return stdout + stderr;
}
