import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { COMPANY } from '../../http/admin/questions/company.ts';
import { done, makeSite, type Site } from '../../support/processes/site.ts';

describe('cellpass who-can and what-can', function () {
  this.timeout(60_000);
  let site: Site;
  before(async () => {
    site = await makeSite('postgresql');
    await site.serve();
    const file = join(site.dir, 'directory.yaml');
    const { federated_identities: _, ...company } = COMPANY;
    writeFileSync(file, stringify({ version: 1, ...company }));
    await done(site, 'directory', 'apply', '-f', file);
  });
  after(() => site.remove());

  it('print a table for people', async () => {
    const who = await done(site, 'who-can', 'push', 'office/app', '--reasons');
    assert.match(
      who,
      /^KIND +NAME +CREDENTIAL +REASON\nuser +root +- +root is owner as an admin, who may push/,
    );
    assert.match(who, /\nonly from 10\.0\.0\.0\/8\n$/);
    const what = await done(site, 'what-can', 'user:alice', '--under', 'office');
    assert.match(what, /^REPOSITORY +ACTIONS +REASON\noffice\/app +pull,push,delete,\* +alice is maintainer/);
  });

  it('print JSON to the letter', async () => {
    const who = JSON.parse(await done(site, 'who-can', 'push', 'acme/api', '--limit', '2', '--json'));
    assert.deepEqual(Object.keys(who), ['repository', 'action', 'subjects', 'next']);
    assert.deepEqual(Object.keys(who.subjects[0]), ['kind', 'name', 'reason']);
    const rest = JSON.parse(await done(site, 'who-can', 'push', 'acme/api', '--after', who.next, '--json'));
    assert.equal(rest.next, undefined);
    const names = [...who.subjects, ...rest.subjects].map(({ name }) => name);
    assert.equal(new Set(names).size, names.length);
    const what = JSON.parse(await done(site, 'what-can', 'user:alice', '--limit', '1', '--json'));
    assert.deepEqual(Object.keys(what), ['subject', 'repositories', 'next']);
    assert.deepEqual(Object.keys(what.repositories[0]), ['path', 'actions', 'reason']);
  });

  it('say why there is nothing', async () => {
    assert.equal(await done(site, 'who-can', 'pull', 'acme/off'), 'nobody may pull on acme/off\n');
    const what = await done(site, 'what-can', 'user:blocked');
    assert.equal(what, 'user:blocked reaches nothing: the account is blocked\n');
  });

  const REFUSED: [args: string[], code: number, message: RegExp][] = [
    [['who-can', 'push', 'acme/none'], 1, /no repository acme\/none/],
    [['what-can', 'user:none'], 1, /no user none/],
    [['what-can', 'alice'], 1, /subject/],
    [['who-can', 'shove', 'acme/api'], 2, /shove/],
    [['who-can', 'push'], 2, /missing required argument/],
    [['what-can', 'user:alice', '--action', 'shove'], 2, /shove/],
  ];
  for (const [args, code, message] of REFUSED) {
    it(`refuse ${args.join(' ')}`, async () => {
      const { code: actual, stderr } = await site.run(args);
      assert.equal(actual, code, stderr);
      assert.match(stderr, message);
    });
  }
});
