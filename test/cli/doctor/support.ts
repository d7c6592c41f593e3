import assert from 'node:assert/strict';
import type { Finding, Verdict } from '../../../src/cli/doctor/finding.ts';

export type Outcome = Finding['outcome'];

export function assertVerdict({ outcome, message }: Verdict, expected: Outcome, says: RegExp | string): void {
  assert.equal(outcome, expected, message);
  if (typeof says === 'string') assert.ok(message.includes(says), message);
  else assert.match(message, says);
}

export function find(findings: readonly Finding[], name: string): Finding {
  const finding = findings.find((one) => one.name === name);
  assert.ok(finding, `${name} is not among ${findings.map((one) => one.name).join(', ')}`);
  return finding;
}
