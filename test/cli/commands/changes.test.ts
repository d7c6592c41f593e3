import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createProgram } from '../../../src/cli/program.ts';
import { type AdminApi, openAdminApi } from '../../support/admin-api.ts';
import type { Outcome } from '../../support/processes/child.ts';
import { makeSite, type Site } from '../../support/processes/site.ts';

const TEN = {
  users: [
    { username: 'root', admin: true },
    ...Array.from({ length: 9 }, (_, at) => ({ username: `user-${at}`, password: `a good password ${at}` })),
  ],
};

describe('changes of the directory on the command line', () => {
  let site: Site;
  let api: AdminApi;
  before(async () => {
    site = await makeSite('postgresql');
    await site.serve();
    api = openAdminApi(site.socket);
  });
  after(async () => {
    await api.close();
    await site.remove();
  });

  const file = async (document: object): Promise<string> => {
    const path = join(site.dir, 'document.yaml');
    await writeFile(path, JSON.stringify({ version: 1, ...document }));
    return path;
  };
  const apply = async (document: object, ...args: string[]): Promise<Outcome> =>
    site.run(['directory', 'apply', '-f', await file(document), ...args]);
  // What is not under test goes over the socket, because each command is a process of its own.
  const exported = async (): Promise<string> => (await api.send('GET', '/admin/v1/directory')).body;
  const prepare = async (document: object): Promise<void> => {
    const text = JSON.stringify({ version: 1, groups: [], projects: [], ...document });
    const { status, body } = await api.send('POST', '/admin/v1/directory?prune=true', text);
    assert.equal(status, 200, body);
  };
  const PLACES = {
    groups: [{ path: 'acme' }],
    projects: [{ path: 'acme/api', members: [{ user: 'user-3', role: 'guest' }] }],
  };
  let initial: string | undefined;
  beforeEach(async () => {
    if (initial !== undefined && initial === (await exported())) return;
    await prepare({ ...TEN, ...PLACES });
    initial = await exported();
  });

  it('a document of one line that prunes nine of ten users is refused with the list', async () => {
    const before = await exported();
    const { code, stdout, stderr } = await apply({ users: [{ username: 'user-0' }] }, '--prune');
    assert.equal(code, 1);
    assert.equal(stdout.match(/^- users /gm)?.length, 9);
    assert.match(
      stderr,
      /^cellpass: nothing was applied: it takes the rights of an admin away: root; --yes applies it\n$/,
    );
    const json = await apply({ users: [{ username: 'user-0' }] }, '--prune', '--json');
    const { changes, refused } = JSON.parse(json.stdout);
    const removed = changes.filter(({ op }: { readonly op: string }) => op === '-');
    assert.deepEqual([json.code, removed.length], [1, 9]);
    assert.equal(refused, 'it takes the rights of an admin away: root');
    assert.equal(await exported(), before);
  });

  it('what was applied with --yes is in the history, and undone by its id', async () => {
    const before = await exported();
    assert.equal((await apply({ users: [{ username: 'user-0' }] }, '--prune', '--yes')).code, 0);
    const { changes } = JSON.parse((await site.run(['history', '--user', 'USER-3', '--json'])).stdout);
    const [change] = changes;
    assert.deepEqual([change.entry, change.after], [{ section: 'users', name: 'user-3' }, null]);
    assert.match(change.who, /^admin socket/);
    const preview = await site.run(['directory', 'undo', String(change.id), '--dry-run']);
    assert.equal(preview.code, 2);
    assert.match(preview.stdout, /^\+ users user-3$/m);
    assert.equal((await site.run(['directory', 'undo', String(change.id)])).code, 0);
    assert.equal(await exported(), before);
    const again = await site.run(['directory', 'undo', String(change.id)]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /was undone by change \d+\n$/);
    const text = (await site.run(['history', '--limit', '1'])).stdout;
    assert.match(text, /^change \d+ {2}\d{4}-\d\d-\d\d \d\d:\d\d.* {2}admin socket.*\(undo of \d+\)\n/);
  });

  it('an undo says which tokens come back as revoked', async () => {
    const token = { name: 'lost', kind: 'personal', user: 'user-1', scopes: ['api'] };
    const { code, stdout } = await site.run([
      ...[
        'token',
        'create',
        '--kind',
        'personal',
        '--user',
        'user-1',
        '--name',
        token.name,
        '--scopes',
        'api',
      ],
      '--json',
    ]);
    assert.equal(code, 0);
    assert.equal((await site.run(['token', 'revoke', JSON.parse(stdout).id])).code, 0);
    const without = { users: TEN.users.filter(({ username }) => username !== 'user-1') };
    const removed = await apply(without, '--prune', '--yes', '--json');
    assert.equal(removed.code, 0, removed.stderr);
    const undo = ['directory', 'undo', String(JSON.parse(removed.stdout).change_id)];
    for (const [args, expected] of [
      [[...undo, '--dry-run'], 2],
      [undo, 0],
    ] as const) {
      const run = await site.run(args);
      assert.equal(run.code, expected, run.stderr);
      assert.match(run.stdout, /^\+ access_tokens lost$/m);
      assert.equal(
        run.stderr,
        'access_tokens lost comes back as revoked: no undo makes a revoked token valid\n',
      );
    }
  });

  const dryRuns: [what: string, document: object, args: string[], code: number, line: RegExp | null][] = [
    ['nothing to do', { users: [{ username: 'root', admin: true }] }, [], 0, null],
    [
      'a field',
      { users: [{ username: 'user-1', state: 'blocked' }] },
      [],
      2,
      /^~ users user-1: state active → blocked$/m,
    ],
    ['a new user', { users: [{ username: 'alice' }] }, [], 2, /^\+ users alice$/m],
    ['five removals', { users: TEN.users.slice(0, 5) }, ['--prune'], 2, /^- users user-8$/m],
    ['six removals', { users: TEN.users.slice(0, 4) }, ['--prune'], 1, /^- users user-8$/m],
    [
      'six removals, allowed',
      { users: TEN.users.slice(0, 4) },
      ['--prune', '--max-removals', '6'],
      2,
      /^- users/m,
    ],
    ['an admin', { users: [{ username: 'root' }] }, [], 1, /^~ users root: admin true → false$/m],
    ['an unknown field', { users: [{ username: 'root', role: 'x' }] }, [], 1, null],
  ];
  for (const [what, document, args, code, line] of dryRuns) {
    it(`--dry-run of ${what}: exit code ${code}, and nothing is changed`, async () => {
      const before = await exported();
      const text = await apply(document, '--dry-run', ...args);
      assert.equal(text.code, code, text.stderr);
      if (line !== null) assert.match(text.stdout, line);
      const json = await apply(document, '--dry-run', '--json', ...args);
      assert.equal(json.code, code);
      if (line !== null) {
        const { changes, refused } = JSON.parse(json.stdout);
        assert.ok(changes.length > 0);
        assert.equal(refused !== null, code === 1);
      }
      assert.equal(await exported(), before);
    });
  }

  it('asks on a terminal, and applies only what a person confirmed', async () => {
    const path = await file({ users: [{ username: 'user-0' }] });
    const asked: string[] = [];
    const run = async (answer: boolean): Promise<string> => {
      const confirm = async (question: string): Promise<boolean> => {
        asked.push(question);
        return answer;
      };
      const terminal = { environment: site.env, stdout: ignore, stderr: ignore, confirm };
      const args = ['directory', 'apply', '-f', path, '--prune'];
      return createProgram(terminal, '0')
        .parseAsync(args, { from: 'user' })
        .then(
          () => 'done',
          (error: Error) => error.message,
        );
    };
    const before = await exported();
    assert.equal(await run(false), 'nothing was applied');
    assert.equal(await exported(), before);
    assert.equal(await run(true), 'done');
    assert.notEqual(await exported(), before);
    assert.equal(asked.length, 2);
    assert.match(asked[0] ?? '', /^it takes the rights of an admin away: root\. Apply this\?$/);
  });

  it('applies nothing else than what a person confirmed', async () => {
    const path = await file({ users: TEN.users.slice(0, 8) });
    const confirm = async (): Promise<boolean> => {
      const text = JSON.stringify({ version: 1, users: [{ username: 'eve' }] });
      assert.equal((await api.send('POST', '/admin/v1/directory', text)).status, 200);
      return true;
    };
    const terminal = { environment: site.env, stdout: ignore, stderr: ignore, confirm };
    const args = ['directory', 'apply', '-f', path, '--prune'];
    await assert.rejects(createProgram(terminal, '0').parseAsync(args, { from: 'user' }), {
      code: 'conflict',
      message: /^nothing was applied: the directory was changed since the list was shown/,
    });
    assert.match(await exported(), /username: eve\n[\s\S]*username: user-8\n/);
  });

  const singles: [args: string[], line: RegExp, input?: string][] = [
    [['user', 'block', 'user-1'], /^~ users user-1: state active → blocked$/m],
    [
      ['user', 'set-password', 'user-2'],
      /^~ users user-2: password \(hidden\) → \(hidden\)$/m,
      'another password\n',
    ],
    [['user', 'add', 'carol', '--password-stdin'], /^\+ users carol$/m, 'a good password'],
    [
      ['member', 'add', 'user-1', '--group', 'acme', '--role', 'developer'],
      /^~ groups acme: members none → \[user-1 developer\]$/m,
    ],
    [
      ['member', 'role', 'user-3', '--project', 'acme/api', '--role', 'owner'],
      /^~ projects acme\/api: members \[user-3 guest\] → \[user-3 owner\]$/m,
    ],
    [
      ['member', 'remove', 'user-3', '--project', 'acme/api'],
      /^~ projects acme\/api: members \[user-3 guest\] → none$/m,
    ],
    [['group', 'rename', 'acme', 'zoo'], /^~ groups acme: path acme → zoo$/m],
    [['project', 'move', 'acme/api', 'acme/web'], /^~ projects acme\/api: path acme\/api → acme\/web$/m],
    [['project', 'visibility', 'acme/api', 'public'], /^~ projects acme\/api: visibility private → public$/m],
  ];
  for (const [args, line, input] of singles) {
    it(`${args.join(' ')} is one change, which --dry-run only shows, and undo takes back`, async () => {
      const before = await exported();
      const given = input === undefined ? {} : { input };
      const shown = await site.run([...args, '--dry-run'], given);
      assert.equal(shown.code, 2, shown.stderr);
      assert.match(shown.stdout, line);
      assert.equal(await exported(), before);
      const made = await site.run(args, given);
      assert.deepEqual([made.code, made.stdout], [0, shown.stdout], made.stderr);
      const { changes } = JSON.parse((await api.send('GET', '/admin/v1/history?limit=1')).body);
      assert.equal((await site.run(['directory', 'undo', String(changes[0].id)])).code, 0);
      assert.equal(await exported(), before);
    });
  }

  it('a short password is taken with a warning', async () => {
    const args = ['user', 'set-password', 'user-2', '--dry-run'];
    const short = await site.run(args, { input: 'seven77\n' });
    assert.match(short.stderr, /^warning: the password has fewer than 8 characters/);
    assert.equal(short.code, 2);
    assert.equal((await site.run(args, { input: 'eight888\n' })).stderr, '');
  });

  const wrong: [args: string[], code: number, message: RegExp][] = [
    [['user', 'block', 'nobody'], 1, /^cellpass: there is no user "nobody"/],
    [['user', 'add', 'not a name'], 1, /^cellpass: nothing was changed: username /],
    [['user', 'set-password', 'user-1'], 1, /give the password on standard input/],
    [['member', 'add', 'user-1', '--role', 'developer'], 2, /--group or --project/],
    [['member', 'add', 'user-1', '--group', 'acme', '--role', 'king'], 2, /Allowed choices/],
    [
      ['member', 'add', 'nobody', '--group', 'acme', '--role', 'developer'],
      1,
      /^cellpass: nothing was changed: there is no user "nobody"/,
    ],
    [['directory', 'apply', '-f', 'x', '--max-removals', 'some'], 2, /a number of 0 or more/],
    [['project', 'visibility', 'acme/api', 'secret'], 2, /private, internal, public/],
    [['directory', 'apply', '-f', 'x', '--merge', '--prune'], 2, /cannot be used with/],
  ];
  for (const [args, code, message] of wrong) {
    it(`${args.join(' ')} is refused, and says what to do`, async () => {
      const outcome = await site.run(args, { input: '' });
      assert.equal(outcome.code, code, outcome.stderr);
      assert.match(outcome.stderr, message);
    });
  }

  it('a document with a mistake is refused in JSON, too', async () => {
    for (const more of [[], ['--dry-run'], ['--yes']]) {
      const { code, stdout } = await apply({ users: [{ username: 'root', role: 'x' }] }, '--json', ...more);
      const { changes, refused } = JSON.parse(stdout);
      assert.deepEqual([code, changes], [1, []]);
      assert.match(refused, /the directory document has a problem/);
    }
  });

  const refusals: [args: string[], refused: RegExp][] = [
    [['directory', 'undo', '999999'], /^there is no change 999999/],
    [['user', 'block', 'nobody'], /^there is no user "nobody"$/],
    [['user', 'add', 'user-1'], /^there is a user "user-1" already$/],
    [['user', 'add', 'not a name'], /^nothing was changed: username /],
  ];
  for (const [args, refused] of refusals) {
    for (const flags of [['--dry-run', '--json'], ['--json']]) {
      it(`${[...args, ...flags].join(' ')} says why it is refused`, async () => {
        const { code, stdout } = await site.run([...args, ...flags]);
        const answer = JSON.parse(stdout);
        assert.deepEqual([code, answer.changes], [1, []]);
        assert.match(answer.refused, refused);
      });
    }
  }

  it('--merge changes only the fields that the document names', async () => {
    const { stdout } = await apply({ users: [{ username: 'root', external: true }] }, '--merge', '--yes');
    assert.match(stdout, /^~ users root: external false → true\n[A-Z]/);
  });

  it('pages through the history', async () => {
    const first = JSON.parse((await site.run(['history', '--limit', '2', '--json'])).stdout);
    assert.equal(first.changes.length, 2);
    const second = JSON.parse(
      (await site.run(['history', '--limit', '2', '--json', '--after', first.next])).stdout,
    );
    assert.notDeepEqual(second.changes[0], first.changes[0]);
    assert.equal((await site.run(['history', '--after', 'nonsense'])).code, 1);
    assert.equal((await site.run(['history', '--since', 'nonsense'])).code, 1);
  });

  it('refuses what is no id of a change', async () => {
    for (const id of ['0', 'x', '999999']) {
      const { code, stderr } = await site.run(['directory', 'undo', id]);
      assert.equal(code, 1);
      assert.match(stderr, /cellpass history/);
    }
  });
});

function ignore(): void {}
