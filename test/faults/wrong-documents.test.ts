import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { checkDirectory } from '../../src/directory/check.ts';

/** Lines of a document, and how many times longer another one is. */
const LINES = 2500;
const TIMES = 8;

type Lines = (line: (at: number) => string) => string;

function repeat(length: number): Lines {
  return (line) => Array.from({ length }, (_, at) => line(at)).join('\n');
}

/** Processor time, which does not depend on what else the machine does. */
function checkingMs(text: string): number {
  const before = process.cpuUsage();
  assert.ok(checkDirectory(text).problems.length > 0);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe('a wrong document', () => {
  const documents: [what: string, text: (repeat: Lines) => string][] = [
    ['with unknown sections', (repeat) => `version: 1\n${repeat((at) => `key-${at}: ${at}`)}`],
    [
      'with unknown fields',
      (repeat) => `version: 1\nusers:\n- username: a\n${repeat((at) => `  key-${at}: ${at}`)}`,
    ],
    [
      'with the same key again and again',
      (repeat) => `version: 1\nusers:\n- username: a\n${repeat(() => '  id: 1')}`,
    ],
    [
      'with the same user again and again',
      (repeat) => `version: 1\nusers:\n${repeat(() => '- username: a')}`,
    ],
    ['with wrong values', (repeat) => `version: 1\nusers:\n${repeat(() => '- username: [a, b]')}`],
    [
      'with an organization for each user',
      (repeat) =>
        `version: 1\norganizations:\n${repeat((at) => `- path: o${at}`)}\nusers:\n${repeat((at) => `- {username: u${at}, organization: p${at}}`)}`,
    ],
    [
      'with members who are no users',
      (repeat) =>
        `version: 1\nusers: []\ngroups:\n- path: g\n  members:\n${repeat((at) => `  - {user: u${at}, role: guest}`)}`,
    ],
    [
      'with one secret for all tokens',
      (repeat) =>
        `version: 1\nusers:\n- username: a\naccess_tokens:\n${repeat((at) => `- {kind: personal, user: a, name: t${at}, scopes: [api], token: glpat-example-the-same-0001}`)}`,
    ],
    [
      'with deploy tokens of many projects',
      (repeat) =>
        `version: 1\ngroups:\n- path: g\ndeploy_tokens:\n${repeat((at) => `- {username: d, projects: [g/p${at}], scopes: [api]}`)}`,
    ],
    ['that is prose', (repeat) => repeat(() => readFileSync('README.md', 'utf8').slice(0, 100))],
    ['that is one long line', (repeat) => repeat(() => 'word '.repeat(10)).replaceAll('\n', '')],
    ['that is a list', (repeat) => repeat((at) => `- item ${at}`)],
    [
      'in JSON on one line',
      (repeat) => `{${repeat((at) => `"k${at}": ${at},`).replaceAll('\n', ' ')} "end": 1}`,
    ],
    ['with unknown anchors', (repeat) => `version: 1\nusers:\n${repeat((at) => `- *a${at}`)}`],
    ['with quotes that stay open', (repeat) => `version: 1\nusers:\n${repeat(() => '- username: "a')}`],
    ['with tags', (repeat) => `version: 1\nusers:\n${repeat((at) => `- !t${at} a`)}`],
  ];
  for (const [what, text] of documents) {
    it(`${what} is checked in time in proportion to its length`, () => {
      const shortMs = checkingMs(text(repeat(LINES)));
      const longMs = checkingMs(text(repeat(LINES * TIMES)));
      const ratio = longMs / Math.max(shortMs, 20);
      assert.ok(ratio < 2 * TIMES, `${shortMs.toFixed(0)} ms, then ${longMs.toFixed(0)} ms`);
    });
  }
});
