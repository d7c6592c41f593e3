import assert from 'node:assert/strict';
import { CommanderError } from 'commander';
import { readRoutableToken } from '../../../src/cells/routable-token.ts';
import { createProgram } from '../../../src/cli/program.ts';
import type { MintedTokenView, TokenPage } from '../../../src/http/types.ts';
import {
  assertRefused,
  done,
  EXAMPLE,
  fetchJwks,
  fetchToken,
  makeSite,
  type Server,
  type Site,
  verify,
} from '../../support/processes/site.ts';

const SCOPE = 'repository:acme/platform/api:pull,push';

const IN_300_DAYS = new Date(Date.now() + 300 * 86_400_000).toISOString().slice(0, 'yyyy-mm-dd'.length);

describe('cellpass token', () => {
  let site: Site;
  let server: Server;

  before(async () => {
    site = await makeSite('postgresql');
    server = await site.serve({ CELLPASS_CELL: '3' });
    await done(site, 'directory', 'apply', '-f', EXAMPLE);
  });
  after(() => site.remove());

  const run = (...args: string[]): Promise<string> => done(site, 'token', ...args);
  const create = async (...args: string[]): Promise<MintedTokenView> =>
    JSON.parse(await run('create', '--json', ...args));
  const granted = async (username: string, token: string): Promise<readonly string[]> => {
    const { access } = await verify(
      await fetchToken(server.url, [username, token], SCOPE),
      await fetchJwks(server.url),
    );
    return access.flatMap(({ actions }) => actions);
  };

  it('create prints the secret alone on stdout, and the rest beside it', async () => {
    const args = ['--kind', 'personal', '--user', 'alice', '--scopes', 'read_registry, write_registry'];
    const { code, stdout, stderr } = await site.run([
      'token',
      'create',
      ...args,
      '--name',
      'laptop 2',
      '--expires-at',
      IN_300_DAYS,
    ]);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^glpat-\S+\n$/);
    assert.match(
      stderr,
      new RegExp(`^access-\\d+: log in .* as the password; .* expires ${IN_300_DAYS}\\n$`),
    );
    assert.deepEqual(await granted('alice', stdout.trim()), ['pull', 'push']);
    const reading = readRoutableToken(stdout.trim());
    assert.deepEqual(reading.kind === 'routable' && reading.routing, { c: 3n, o: 1n, u: 11n });
  });

  it('create without --expires-at says when the token expires, and refuses a later day', async () => {
    const args = ['token', 'create', '--kind', 'personal', '--user', 'alice', '--scopes', 'api'];
    const { code, stderr } = await site.run(args);
    assert.equal(code, 0, stderr);
    assert.match(
      stderr,
      /, and expires \d{4}-\d\d-\d\d \(limits\.token_days\), because --expires-at is missing\n$/,
    );
    assertRefused(
      await site.run([...args, '--expires-at', '2099-01-31']),
      /expires_at: must be \d{4}-\d\d-\d\d or earlier: .*365 days.*limits\.token_days/,
    );
  });

  const kinds: [args: string, granted: string[]][] = [
    ['--kind project --project acme/platform/api --role reporter --scopes api', ['pull']],
    ['--kind group --group acme --role developer --scopes write_registry', ['push']],
    [
      '--kind deploy --project acme/tools --project acme/platform/api --username robot --scopes read_registry',
      ['pull'],
    ],
    ['--kind deploy --group acme --scopes read_registry', ['pull']],
  ];
  for (const [args, actions] of kinds) {
    it(`create ${args} makes one that works at once, and revoke ends it at once`, async () => {
      const { id, token, username } = await create(...args.split(' '));
      assert.deepEqual(await granted(username, token), actions);
      assert.match(await run('revoke', id), new RegExp(`^${id} \\(.+\\) is revoked`));
      await assert.rejects(granted(username, token), /UNAUTHORIZED/);
    });
  }

  it('list shows prefix, routing, last use and end, of one owner where asked, and no secret', async () => {
    const owner = ['--group', 'acme/attic'];
    const { id, token } = await create('--kind', 'group', ...owner, '--role', 'guest', '--scopes', 'api');
    await fetchToken(server.url, ['x', token], SCOPE);
    const text = await run('list', ...owner);
    const columns = [
      'ID',
      'KIND',
      'OF',
      'NAME',
      'SCOPES',
      'PREFIX',
      'ROUTING',
      'LAST USED',
      'EXPIRES',
      'STATE',
    ];
    assert.match(text, new RegExp(`^${columns.join(' +')}\n`));
    const row = [
      id,
      'group',
      'acme/attic as \\S*…',
      'minted on \\d{4}-\\S*…',
      'api',
      'glpat-',
      'c:3,g:\\d+,o:1',
      '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\dZ',
      '\\d{4}-\\d\\d-\\d\\d',
      'active',
    ];
    assert.match(text, new RegExp(`^${row.join(' +')}$`, 'm'));
    assert.equal(text.trimEnd().split('\n').length, 2);
    const everything = await run('list', '--json');
    assert.ok(!everything.includes(token.slice(6)));
    const { tokens }: TokenPage = JSON.parse(everything);
    const { group, role, name } = tokens.find((one) => one.id === id)!;
    assert.deepEqual([group, role], ['acme/attic', 'guest']);
    assert.match(name ?? '', /^minted on \d{4}-\d\d-\d\d/);
    assert.ok(tokens.some(({ name, revoked, minted }) => name === 'lost phone' && revoked && !minted));
  });

  it('list says where it ends, when that is not the end', async () => {
    const { code, stdout, stderr } = await site.run(['token', 'list', '--limit', '2', '--json']);
    const { tokens, next }: TokenPage = JSON.parse(stdout);
    assert.deepEqual([code, tokens.length, next], [0, 2, tokens[1]?.id]);
    assert.match(stderr, /^these are the first 2; for the others use --limit/);
  });

  it('list goes on with --after where a page ended', async () => {
    const first: TokenPage = JSON.parse(await run('list', '--limit', '2', '--json'));
    const second: TokenPage = JSON.parse(
      await run('list', '--limit', '1', '--after', first.next ?? '', '--json'),
    );
    const all: TokenPage = JSON.parse(await run('list', '--json'));
    assert.deepEqual([...first.tokens, ...second.tokens], all.tokens.slice(0, 3));
    assert.ok(second.next !== undefined && !('next' in all), 'the last page has no next');
  });

  it('list takes what is asked of the tokens, any together', async () => {
    const { id } = await create('--kind', 'deploy', '--group', 'acme', '--scopes', 'write_registry');
    const [kind, scope] = [
      ['--kind', 'deploy'],
      ['--scope', 'write_registry'],
    ];
    const ids = async (...args: string[]): Promise<readonly string[]> =>
      JSON.parse(await run('list', '--json', ...args)).tokens.map((one: { id: string }) => one.id);
    assert.ok((await ids(...scope, '--expires-before', '2099-01-31')).includes(id));
    assert.ok((await ids(...kind, '--unused-since', '2099-01-31T00:00:00Z')).includes(id));
    for (const none of [['--never-expires'], ['--unused-since', '1d'], ['--owner', 'alice']])
      assert.ok(!(await ids(...kind, ...scope, ...none)).includes(id), none.join(' '));
    assert.ok((await ids('--owner', 'alice', '--owner-state', 'active')).length > 0);
    assertRefused(await site.run(['token', 'list', '--owner', 'nobody']), /no user "nobody"/);
  });

  it('list says whose owner is blocked', async () => {
    const minted = await create('--kind', 'personal', '--user', 'alice', '--scopes', 'api');
    await done(site, 'user', 'block', 'alice');
    const text = await run('list', '--owner-state', 'blocked');
    await done(site, 'user', 'unblock', 'alice');
    assert.match(text, new RegExp(`^${minted.id} .* owner blocked$`, 'm'));
  });

  it('identify says whose a secret is, and reads it from standard input alone', async () => {
    const identify = (input: string, ...args: string[]) =>
      site.run(['token', 'identify', ...args], { input });
    const { id, token } = await create('--kind', 'personal', '--user', 'alice', '--scopes', 'api');
    const known = await identify(`${token}\n`, '--json');
    assert.deepEqual(
      [known.code, JSON.parse(known.stdout)],
      [0, { kind: 'personal', id, owner: 'alice', state: 'active', cell: 3 }],
    );
    assert.equal((await identify(token)).stdout, `${id}: personal token of alice, active, names cell 3\n`);
    const UNKNOWN: [secret: string, says: RegExp][] = [
      ['glpat-example-of-nobody-0001', /no token has this secret$/m],
      ['correct horse', /passwords are not identified$/m],
      ['eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln', /a JWT: an ID token is not identified/],
      [`${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`, /checksum is wrong/],
    ];
    for (const [secret, says] of UNKNOWN) {
      const { code, stdout, stderr } = await identify(secret, '--json');
      assert.deepEqual([code, JSON.parse(stdout)], [1, { kind: null }]);
      assert.match(stderr, says);
      assert.ok(!stderr.includes(secret));
      assert.equal((await identify(secret)).stdout, '');
    }
    assertRefused(await identify('\n'), /give the secret on standard input/);
    const argued = await identify('', token);
    assert.equal(argued.code, 2);
    assert.match(argued.stderr, /on standard input, not as an argument/);
    assert.ok(!argued.stderr.includes(token.slice(6)));
    assert.ok(!server.child.output().includes(token.slice(6)));
  });

  it('is refused in one line that says everything that is wrong', async () => {
    const wrong = ['--scopes', 'read_registy', '--expires-at', '2020-01-31'];
    assertRefused(
      await site.run(['token', 'create', '--kind', 'personal', '--user', 'nobody', ...wrong]),
      'no token was created',
      /user: there is no user "nobody"/,
      /scopes: "read_registy"/,
      /expires_at: must be after today/,
    );
    assertRefused(await site.run(['token', 'revoke', '5']), 'cellpass token list');
  });

  const usages: [what: string, args: string[], says: RegExp][] = [
    ['no kind', ['create', '--scopes', 'api'], /--kind/],
    ['an unknown kind', ['create', '--kind', 'job', '--scopes', 'api'], /--kind/],
    ['no scopes', ['create', '--kind', 'personal', '--user', 'alice'], /--scopes/],
    ['no user', ['create', '--kind', 'personal', '--scopes', 'api'], /--kind personal needs --user/],
    [
      'a role for a person',
      ['create', '--kind', 'personal', '--user', 'alice', '--role', 'owner', '--scopes', 'api'],
      /--role does not go with --kind personal/,
    ],
    [
      'no role',
      ['create', '--kind', 'group', '--group', 'acme', '--scopes', 'api'],
      /--kind group needs --role/,
    ],
    [
      'several projects',
      [
        'create',
        '--kind',
        'project',
        '--project',
        'a/b',
        '--project',
        'a/c',
        '--role',
        'guest',
        '--scopes',
        'api',
      ],
      /takes one --project/,
    ],
    ['nothing to deploy', ['create', '--kind', 'deploy', '--scopes', 'read_registry'], /either --project/],
    ['no id', ['revoke'], /missing required argument/],
    ['a limit that is none', ['list', '--limit', 'all'], /--limit/],
  ];
  for (const [what, args, says] of usages) {
    it(`is wrong usage with ${what}`, async () => {
      let stderr = '';
      const terminal = {
        environment: {},
        stdout: () => assert.fail('it prints'),
        stderr: (text: string) => {
          stderr += text;
        },
      };
      const program = createProgram(terminal, 'test');
      const outcome = program.parseAsync(['token', ...args], { from: 'user' });
      await assert.rejects(outcome, (error) => error instanceof CommanderError && error.exitCode !== 0);
      assert.match(stderr, says);
    });
  }
});
