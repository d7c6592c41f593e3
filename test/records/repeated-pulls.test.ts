import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRepeatedPulls } from '../../src/records/repeated-pulls.ts';
import type { IssuedToken } from '../../src/store/records/issued-tokens.ts';

const START = Date.parse('2026-11-24T12:00:00Z');
const grants = (name: string, ...actions: string[]): IssuedToken['access'] => [
  { type: 'repository', name, actions },
];

describe('repeated pulls', () => {
  let nowMs: number;
  let pulls: ReturnType<typeof createRepeatedPulls>;
  beforeEach(() => {
    nowMs = 0;
    pulls = createRepeatedPulls(() => nowMs);
  });

  const issue = (more: Partial<IssuedToken> = {}): IssuedToken => ({
    jti: randomUUID(),
    kid: 'KID',
    subject: 'alice',
    authType: 'personal_access_token',
    service: 'container_registry',
    access: grants('acme/app', 'pull'),
    address: '192.0.2.1',
    issuedAt: new Date(START + nowMs),
    expiresAt: new Date(START + nowMs + 300_000),
    requestId: randomUUID(),
    cell: 1,
    credential: 'access-1',
    ...more,
  });

  const alike: [what: string, more: Partial<IssuedToken>, isRepeat: boolean][] = [
    ['the same', {}, true],
    ['another subject', { subject: 'bob' }, false],
    ['the same name by another kind of credential', { authType: 'gitlab_or_ldap' }, false],
    ['the same name by another token', { credential: 'access-2' }, false],
    ['another address', { address: '192.0.2.2' }, false],
    ['another repository', { access: grants('acme/web', 'pull') }, false],
    ['one more repository', { access: [...grants('acme/app', 'pull'), ...grants('a/b', 'pull')] }, false],
    ['no repository: a login', { access: [] }, false],
    ['another service', { service: 'other' }, false],
    ['another key', { kid: 'NEW' }, false],
    ['a push', { access: grants('acme/app', 'pull', 'push') }, false],
    ['a delete', { access: grants('acme/app', 'delete') }, false],
    ['everything', { access: grants('acme/app', '*') }, false],
    ['the catalog', { access: [{ type: 'registry', name: 'catalog', actions: ['*'] }] }, false],
  ];
  for (const [what, more, isRepeat] of alike) {
    it(`${what}, after a pull, is ${isRepeat ? '' : 'not '}a repeat`, () => {
      assert.equal(pulls.count(issue()), false, 'the first is recorded at once');
      assert.equal(pulls.count(issue(more)), isRepeat);
    });
  }

  it('never counts a push, a delete or the catalog, however often they come', () => {
    for (const [, more, isRepeat] of alike.slice(-4)) {
      assert.equal(isRepeat, false);
      for (let n = 0; n < 3; n++) assert.equal(pulls.count(issue(more)), false);
    }
  });

  it('become one record when their minute is over, and go on in the next one', () => {
    pulls.count(issue());
    const [first, second] = [issue(), issue()];
    pulls.count(first);
    nowMs = 30_000;
    pulls.count(second);
    nowMs = 59_999;
    assert.deepEqual(pulls.takeDue(), []);
    nowMs = 60_000;
    const last = { count: 1, lastJti: second.jti, lastIssuedAt: second.issuedAt };
    assert.deepEqual(pulls.takeDue(), [{ ...first, repeats: last, expiresAt: second.expiresAt }]);
    const next = issue();
    assert.equal(pulls.count(next), true);
    nowMs = 120_000;
    assert.deepEqual(pulls.takeDue(), [next], 'one repeat is a record without repeats');
    nowMs = 180_000;
    assert.deepEqual(pulls.takeDue(), []);
    assert.equal(pulls.count(issue()), false, 'a minute without repeats ends it');
  });

  it('are taken at once at the end, each once', () => {
    pulls.count(issue());
    for (let n = 0; n < 10; n++) pulls.count(issue());
    assert.deepEqual(
      pulls.takeAll().map(({ repeats }) => repeats?.count),
      [9],
    );
    nowMs = 60_000;
    assert.deepEqual([pulls.takeAll(), pulls.takeDue()], [[], []]);
  });

  it('of two days (UTC) share no record', () => {
    nowMs = 12 * 3_600_000 - 1000;
    pulls.count(issue());
    pulls.count(issue());
    nowMs += 2000;
    assert.equal(pulls.count(issue()), false);
  });

  it('take a bounded memory: over it each token has its own record', () => {
    let recorded = 0;
    for (let n = 0; n < 100_000; n++) if (!pulls.count(issue({ address: `${n}` }))) recorded += 1;
    assert.equal(recorded, 100_000);
    let repeats = 0;
    for (let n = 0; n < 100_000; n++) if (pulls.count(issue({ address: `${n}` }))) repeats += 1;
    assert.ok(repeats > 5000 && repeats < 20_000, `${repeats}`);
  });
});
