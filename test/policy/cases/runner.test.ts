import assert from 'node:assert/strict';
import { startTestServer, type TestServer } from '../../support/server.ts';
import { CaseFileError, type CaseRow, COLUMNS, readCases } from './csv.ts';
import { reportOn } from './report.ts';

/** A row that passes. */
const RIGHT: CaseRow = {
  case_id: 'Z001',
  project_visibility: 'private',
  registry_access_level: 'enabled; tag rules v1.*(push M/del M) latest(push O/del -); 2 immutable rules',
  principal: 'user',
  role_on_project: 'developer',
  token_kind: 'pat',
  token_scopes: 'api',
  requested: 'push;pull;delete',
  granted: 'push;pull; deny push=[v1.*,latest]; immutable=[a.*,b.*]',
  http_status: '200',
};

/** An admin, whom neither states nor protections refuse anything here. */
const ADMIN: Partial<CaseRow> = {
  principal: 'admin',
  registry_access_level: 'enabled',
  granted: 'push;pull;delete',
};

describe('the case runner', () => {
  let server: TestServer;

  before(async function () {
    this.timeout(60_000);
    server = await startTestServer();
  });

  after(() => server.close());

  async function report(...changes: readonly Partial<CaseRow>[]) {
    const lines: string[] = [];
    const rows = changes.map((change, at) => ({ ...RIGHT, case_id: `Z${at}`, ...change }));
    const exitCode = await reportOn(rows, server, (line) => lines.push(line));
    return { exitCode, lines };
  }

  it('exits 0 when every row comes out as written', async () => {
    const { exitCode, lines } = await report({}, ADMIN);
    assert.deepEqual(lines, ['2 cases: 2 as written, 0 differ, 0 not understood, 0 not expressible']);
    assert.equal(exitCode, 0);
  });

  const wrong: readonly (readonly [string, Partial<CaseRow>])[] = [
    ['less was granted', { granted: 'push;pull;delete; deny push=[v1.*,latest]' }],
    ['more was granted', { granted: 'pull; deny={}' }],
    ['anything was granted', { granted: 'none' }],
    ['the status is another', { granted: 'none', http_status: '403' }],
    ['a tag pattern is not denied', { granted: 'push;pull; deny push=[v1.*,latest,more]' }],
    ['a tag pattern is denied', { granted: 'push;pull; deny push=[v1.*]' }],
    [
      'a tag pattern is denied for another action',
      { granted: 'push;pull; deny push=[v1.*,latest] delete=[]' },
    ],
    ['the claim for tags is there', { granted: 'push;pull; no tag_deny_access_patterns' }],
    ['the claim for tags is not empty', { granted: 'push;pull; deny={}' }],
    ['immutable patterns are others', { granted: 'push;pull; immutable=[a.*]' }],
    ['immutable patterns are fewer', { granted: 'push;pull; 3 immutable patterns' }],
    ['immutable patterns are there', { granted: 'push;pull; no tag_immutable_patterns' }],
    [
      'immutable patterns are missing',
      { ...ADMIN, granted: 'push;pull;delete; tag_immutable_patterns present' },
    ],
    ['the claim for tags is missing', { ...ADMIN, granted: 'push;pull;delete; deny={}' }],
    [
      'one of two kinds of credential differs',
      { token_kind: 'password or pat', token_scopes: 'read_registry' },
    ],
    [
      'one of several people differs',
      {
        principal: 'user or external user',
        project_visibility: 'internal',
        role_on_project: 'none',
        requested: 'pull',
        granted: 'pull',
      },
    ],
    ['one of several requests differs', { requested: 'pull or push', granted: 'pull; deny={}' }],
    [
      'one of several projects differs',
      {
        project_visibility: 'mixed (public;private)',
        registry_access_level: 'mixed',
        role_on_project: 'none',
        requested: '2 pull scopes',
        granted: 'pull on public and private',
      },
    ],
  ];
  for (const [what, change] of wrong) {
    it(`exits 1 when ${what}`, async () => {
      const { exitCode, lines } = await report(change);
      assert.deepEqual(lines.at(-1), '1 cases: 0 as written, 1 differ, 0 not understood, 0 not expressible');
      assert.equal(exitCode, 1);
    });
  }

  const strange: readonly (readonly [keyof CaseRow, string, word: string])[] = [
    ['project_visibility', 'secret', 'secret'],
    ['project_visibility', 'private (haunted)', 'haunted'],
    ['project_visibility', 'mixed (public;secret)', 'secret'],
    ['registry_access_level', 'sometimes', 'sometimes'],
    ['registry_access_level', 'enabled; min push=everyone', 'min push=everyone'],
    ['principal', 'ghost', 'ghost'],
    ['principal', 'user without mercy', 'without mercy'],
    ['role_on_project', 'emperor', 'emperor'],
    ['token_kind', 'biscuit', 'biscuit'],
    ['token_kind', 'pat or biscuit', 'biscuit'],
    ['token_kind', 'job_token', 'job_token of such a principal'],
    ['token_scopes', 'api;everything', 'everything'],
    ['requested', 'pull;burn', 'burn'],
    ['requested', 'sideways path: pull', 'sideways path'],
    ['granted', 'pull; glory', 'glory'],
    ['granted', 'pull on the moon', 'moon'],
    ['granted', '', 'an empty cell'],
    ['http_status', 'fine', 'fine'],
  ];
  for (const [column, cell, word] of strange) {
    it(`exits 1 when it does not understand ${cell || 'an empty cell'} in ${column}`, async () => {
      const { exitCode, lines } = await report({ [column]: cell });
      assert.equal(lines[0], `Z0: not understood: ${word} in ${column}`);
      assert.equal(exitCode, 1);
    });
  }

  it('lists what cellpass has no way to be, which is no failure', async () => {
    const { exitCode, lines } = await report({ registry_access_level: 'enabled; EE licence off' }, ADMIN);
    assert.match(lines[0] ?? '', /^Z0: not expressible: /);
    assert.equal(lines[1], '2 cases: 1 as written, 0 differ, 0 not understood, 1 not expressible');
    assert.equal(exitCode, 0);
  });

  it('runs the other rows when one has a document that is refused', async () => {
    const refused = { registry_access_level: 'enabled; tag rules v1[(push M/del M)' };
    const { exitCode, lines } = await report(refused, {});
    assert.match(lines.join('\n'), /^Z0: .*not an RE2 pattern/m);
    assert.equal(lines.at(-1), '2 cases: 1 as written, 1 differ, 0 not understood, 0 not expressible');
    assert.equal(exitCode, 1);
  });

  it('leaves no setting behind for the next row', async () => {
    const maintenance = { project_visibility: 'private (maintenance mode)', granted: 'pull; deny={}' };
    const { lines } = await report(maintenance, {}, maintenance);
    assert.deepEqual(lines, ['3 cases: 3 as written, 0 differ, 0 not understood, 0 not expressible']);
  });
});

describe('a case file', () => {
  const HEAD = COLUMNS.join();

  it('has fields in quotes, with commas, quotes and line breaks', () => {
    const text = `${HEAD}\r\nA1,"a,b","c ""d""","e\nf",,,,,,200\r\n\r\nA2,,,,,,,,,403`;
    const [first, second, ...others] = readCases(text);
    assert.equal(first?.project_visibility, 'a,b');
    assert.equal(first?.registry_access_level, 'c "d"');
    assert.equal(first?.principal, 'e\nf');
    assert.equal(second?.http_status, '403');
    assert.deepEqual(others, []);
  });

  const bad: readonly (readonly [string, string, RegExp])[] = [
    ['is empty', '', /line 1: must be case_id,/],
    ['names other columns', 'case_id,granted\nA1,pull', /line 1: must be case_id,/],
    ['has no cases', `${HEAD}\n`, /has no cases/],
    ['has a short line', `${HEAD}\n\nA1,public`, /line 3: has 2 fields, not 10/],
    ['has an open quote', `${HEAD}\nA1,"public,,,,,,,,200`, /line 2: is not CSV/],
    ['has a case twice', `${HEAD}\nA1,,,,,,,,,200\nA1,,,,,,,,,200`, /A1 stands there twice/],
  ];
  for (const [what, text, message] of bad) {
    it(`is refused when it ${what}`, () => {
      assert.throws(
        () => readCases(text),
        (error) => error instanceof CaseFileError && message.test(error.message),
      );
    });
  }
});
