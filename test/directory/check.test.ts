import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { checkDirectory } from '../../src/directory/check.ts';

/** A problem is `line path: message`. */
function check(text: string): string[] {
  return checkDirectory(text).problems.map(({ line, path, message }) => `${line ?? '-'} ${path}: ${message}`);
}

const COMPONENT_RULE =
  'letters, digits, "_", "." and "-", not starting with "-" or ".", not ending in ".", ".git" or ".atom"';

describe('a directory document', () => {
  it('is accepted with every feature', () => {
    assert.deepEqual(check(readFileSync('examples/acme.yaml', 'utf8')), []);
  });

  it('is told every mistake at once, each with its line', () => {
    const text = `version: 1
users:
  - username: alice
    stat: active
  - username: ALICE
groups:
  - path: acme
    members:
      - {user: alice, role: boss}
      - {user: ghost, role: developer, expires_at: 2099-01-31}
      - {user: alice, role: developer, expires_at: 2027-02-30}
    ip_allowlist: [10.0.0.0/8, 10.0.0.0/33]
projects:
  - path: acme/api
    visibility: secret
    visibility: public
  - path: nowhere/api
access_tokens:
  - {name: laptop, kind: personal, user: alice, scopes: [api], token: short}
  - name: other
    kind: personal
    user: bob
    scopes: []
`;
    assert.deepEqual(check(text), [
      '4 users[0].stat: is not a known field; did you mean state?',
      '5 users[1].username: is the same as users[0].username',
      '9 groups[0].members[0].role: must be one of: minimal_access, guest, planner, reporter, security_manager, developer, maintainer, owner',
      '10 groups[0].members[1].user: there is no user "ghost"',
      '11 groups[0].members[2].expires_at: must be a date that exists, as yyyy-mm-dd',
      '12 groups[0].ip_allowlist[1]: must be a CIDR range such as 10.0.0.0/8 or an address',
      '16 : this key is in the mapping twice: remove one of them',
      '17 projects[1].path: there is no group or user "nowhere"',
      '19 access_tokens[0].token: must have 20 characters or more',
      '22 access_tokens[1].user: there is no user "bob"',
      '23 access_tokens[1].scopes: must name at least one scope',
    ]);
  });

  const rows: [rule: string, text: string, problems: string[]][] = [
    [
      'must be YAML',
      'version: 1\nusers: [',
      ['2 : Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    [
      'must be a mapping',
      '- version: 1',
      ['1 : must be a YAML mapping with lines such as "name: value", but is a list'],
    ],
    ['must not be empty', '', ['1 version: is missing']],
    ['must have a version', 'users: []', ['1 version: is missing']],
    ['must have version 1', 'users: []\nversion: 2', ['2 version: must be 1']],
    ['has no other sections', 'version: 1\nrunners: []', ['2 runners: is not a known field']],
    ['must not leave a section empty', 'version: 1\nusers:', ['2 users: must be a list']],
    ['has no tags', 'version: 1\nusers: !list []', ['2 : Unresolved tag: !list']],
    [
      'is one document',
      'version: 1\n---\nversion: 1',
      ['2 : a second document begins here: remove it, the file must hold only one'],
    ],
  ];
  for (const [rule, text, problems] of rows) it(rule, () => assert.deepEqual(check(text), problems));

  it('must not multiply by aliases', () => {
    const levels = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const lines = levels.map((name, at) => {
      const below = at === 0 ? '1' : `*${levels[at - 1]}`;
      return `${name}: &${name} [${Array(9).fill(below).join(', ')}]`;
    });
    assert.match(
      check(lines.join('\n')).join('\n'),
      /^5 : the alias \*d expands the file too much: write the entries out$/,
    );
  });

  const deep = 100_000;
  const nestings: [what: string, text: string][] = [
    ['lists', '['.repeat(deep)],
    ['closed lists', '['.repeat(deep) + ']'.repeat(deep)],
    ['mappings', '{a: '.repeat(deep)],
    ['items', '- '.repeat(deep)],
    ['keys', '? '.repeat(deep)],
    ['indented mappings', Array.from({ length: 300 }, (_, at) => `${' '.repeat(at)}a:`).join('\n')],
  ];
  for (const [what, text] of nestings) {
    it(`must not be nested without end in ${what}`, () => {
      assert.deepEqual(check(text), ['- : has more than 50 levels of nesting']);
    });
  }

  it('may hold brackets in its text', () => {
    const name = `"${'['.repeat(200)}"`;
    const block = `|\n${'        [\n'.repeat(200)}`;
    const text = `version: 1\ndeploy_tokens:\n  - {username: ${name}, group: a, scopes: [api]}\n  - username: ${block}`;
    assert.deepEqual(check(text), [
      '4 deploy_tokens[1].username: must not contain control characters',
      '4 deploy_tokens[1].username: must have at most 255 characters',
      '4 deploy_tokens[1].scopes: is missing',
    ]);
  });

  it('may use anchors and aliases', () => {
    const team = 'members: &team [{user: bob, role: owner}]';
    assert.deepEqual(
      check(`version: 1\ngroups:\n  - path: a\n    ${team}\n  - path: b\n    members: *team`),
      [],
    );
  });
});

/** What one field of an otherwise right document may be. */
const FIELDS: [
  field: string,
  document: (value: string) => string,
  accepted: string[],
  refused: [value: string, message: string][],
][] = [
  [
    'a path',
    (value) => `{version: 1, groups: [{path: ${value}}]}`,
    ['a', 'A1._-z', '_a', '"9"', 'a.gitx', 'a--b__c..d'],
    [
      ...[
        '-a',
        '.a',
        'a.',
        'a.git',
        'a.ATOM',
        'a b',
        'é',
        'a/',
        '/a',
        'a//b',
        '""',
        '"a\\0b"',
        '"a%"',
        `${'a'.repeat(256)}`,
      ].map((value): [string, string] => [value, `must be names joined by "/", each of ${COMPONENT_RULE}`]),
      ['123456', 'must be text: put it in quotes'],
      ['null', 'must be text: put it in quotes'],
    ],
  ],
  [
    'a project path',
    (value) => `{version: 1, projects: [{path: ${value}}]}`,
    ['a/b', 'a/b/c'],
    [['b', 'must begin with the group or user that the project belongs to']],
  ],
  [
    'an id',
    (value) => `{version: 1, users: [{username: a, id: ${value}}]}`,
    ['1', '999999999999'],
    [
      ['0', 'must be 1 or more'],
      ['1.5', 'must be a whole number'],
      ['"1"', 'must be a whole number'],
      ['1000000000000', 'must be below 1000000000000'],
    ],
  ],
  [
    'an e-mail address',
    (value) => `{version: 1, users: [{username: a, email: ${value}}]}`,
    ['a@b', 'null', 'a.b+c@d.example'],
    [
      ['ab', 'must be an e-mail address'],
      ['"a @b"', 'must be an e-mail address'],
    ],
  ],
  [
    'a password hash',
    (value) => `{version: 1, users: [{username: a, password_hash: ${value}}]}`,
    [phc('m=19456,t=2,p=1'), phc('m=65536,t=3,p=4'), phc('m=65536,t=4,p=1'), phc('m=8,t=32768,p=1')],
    [
      phc('m=65537,t=1,p=1'),
      phc('m=65536,t=5,p=1'),
      phc('m=19456,t=0,p=1'),
      phc('m=19456,t=2,p=5'),
      phc('m=7,t=2,p=1'),
      phc('m=19456,t=2,p=1').replace('argon2id', 'argon2i'),
      '$2y$10$abcdefghijklmnopqrstuv',
    ].map((value): [string, string] => [
      value,
      'must be an argon2id hash such as $argon2id$v=19$m=19456,t=2,p=1$…, of at most 64 MiB and 4 lanes, and 256 MiB times passes',
    ]),
  ],
  [
    'a date',
    (value) =>
      `{version: 1, users: [], groups: [{path: a, members: []}], access_tokens: [{name: n, kind: group, group: a, role: guest, scopes: [api], expires_at: ${value}}]}`,
    ['2028-02-29', '2099-12-31', 'null', '"2027-01-31"'],
    [
      ...['2027-02-30', '2027-02-29', '2027-1-31', '2027-01-31T00:00:00Z', '20270131'].map(
        (value): [string, string] => [value, 'must be a date that exists, as yyyy-mm-dd'],
      ),
      ['0000-01-01', 'must be a year from 1970 to 9998'],
    ],
  ],
  [
    'a time',
    (value) =>
      `{version: 1, job_tokens: [{project: a/b, token: glcbt-example-a-b-0001, expires_at: ${value}}]}`,
    ['2027-01-31', '2027-01-31T00:00:00Z', '2027-01-31T12:30:00.5+02:00', 'null'],
    [
      ...['2027-02-30', '2027-01-31T00:00:00', '2027-01-31T25:00:00Z', 'tomorrow'].map(
        (value): [string, string] => [
          value,
          'must be a date and time with its zone, as 2027-01-31T00:00:00Z, or a date',
        ],
      ),
    ],
  ],
  [
    'an address range',
    (value) => `{version: 1, groups: [{path: a, ip_allowlist: [${value}]}]}`,
    ['10.0.0.0/8', '192.0.2.7', '"2001:db8::/32"', '"::1"', '0.0.0.0/0', '"::ffff:10.0.0.0/104"'],
    [
      '"::ffff:10.0.0.0/95"',
      '"::ffff:0:0/0"',
      '10.0.0.0/33',
      '10',
      '"010.0.0.1/8"',
      '0x7f.1',
      '"fe80::1%eth0"',
      '"2001:db8::/129"',
      'example.com',
    ].map((value): [string, string] => [
      value,
      value === '10'
        ? 'must be text: put it in quotes'
        : value.includes('::ffff')
          ? 'must be /96 or longer, because IPv4-mapped addresses count as IPv4'
          : 'must be a CIDR range such as 10.0.0.0/8 or an address',
    ]),
  ],
  [
    'a token',
    (value) => `{version: 1, job_tokens: [{project: a/b, token: ${value}}]}`,
    ['x'.repeat(20), 'x'.repeat(4096)],
    [
      ['x'.repeat(19), 'must have 20 characters or more'],
      ['x'.repeat(4097), 'must have at most 4096 characters'],
      [`"${'x'.repeat(20)}\\0"`, 'must not contain control characters'],
      [`"${'x'.repeat(20)}\\ud800"`, 'must not contain control characters'],
    ],
  ],
  [
    'a digest',
    (value) => `{version: 1, job_tokens: [{project: a/b, token_sha256: ${value}}]}`,
    ['aF'.repeat(32)],
    [
      ['a'.repeat(63), 'must be a SHA-256 in 64 hex digits'],
      ['1'.repeat(64), 'must be text: put it in quotes'],
    ],
  ],
  [
    'a token scope',
    (value) =>
      `{version: 1, deploy_tokens: [{username: u, group: a, token: gldt-example-puller-0001, scopes: ${value}}]}`,
    ['[read_registry]', '["a:b_1"]'],
    [
      ['[Read]', 'must be a scope such as read_registry'],
      ['[]', 'must name at least one scope'],
      ['null', 'must be a list of scopes'],
    ],
  ],
  [
    'the pattern of a protected repository',
    (value) =>
      `{version: 1, projects: [{path: a/b, protected_repositories: [{pattern: ${value}, minimum_role_for_push: owner}]}]}`,
    ['a/b', 'A/B/prod*', 'a/b*/x'],
    [
      ['a/c', "must start with the project's full path, a/b"],
      ['"*"', "must start with the project's full path, a/b"],
      ['a/b?', 'must be a repository path, with "*" as the only wildcard'],
      [`a/b/${'x'.repeat(97)}`, 'must have at most 100 characters'],
    ],
  ],
  [
    'the pattern of a protected tag',
    (value) =>
      `{version: 1, projects: [{path: a/b, protected_tags: [{pattern: ${value}, immutable: true}]}]}`,
    ["'v.*'", "'(?i)release-\\d+'", "'[[:alpha:]]+'", `'${'x'.repeat(100)}'`],
    [
      ["'('", 'is not an RE2 pattern: error parsing regexp: missing closing ): `(`'],
      ["'(?=a)'", 'is not an RE2 pattern: error parsing regexp: invalid or unsupported Perl syntax: `(?=`'],
      ["'(a)\\1'", 'is not an RE2 pattern: error parsing regexp: invalid escape sequence: `\\1`'],
      ["'a{1001}'", 'is not an RE2 pattern: error parsing regexp: invalid repeat count: `{1001}`'],
      ["''", 'must not be empty'],
      [`'${'x'.repeat(101)}'`, 'must have at most 100 characters'],
    ],
  ],
];

/** A made-up argon2id hash in the right form. */
function phc(parameters: string): string {
  return `'$argon2id$v=19$${parameters}$${'c2FsdHNhbHRzYWx0'}$${'A'.repeat(43)}'`;
}

for (const [field, document, accepted, refused] of FIELDS) {
  describe(`${field} in a directory document`, () => {
    for (const value of accepted) {
      it(`may be ${value.slice(0, 60)}`, () => assert.deepEqual(check(document(value)), []));
    }
    for (const [value, message] of refused) {
      it(`must not be ${value.slice(0, 60)}`, () => {
        const problems = checkDirectory(document(value)).problems.map((problem) => problem.message);
        assert.ok(problems.includes(message), `${message} is not among: ${problems.join('; ')}`);
      });
    }
  });
}

describe('the entries of a directory document', () => {
  const token = 'token: glpat-example-alice-laptop-0001';
  const rule = 'minimum_role_for_push: owner';
  const rows: [rule: string, text: string, problems: string[]][] = [
    ['need their names', 'users: [{state: active}]', ['users[0].username: is missing']],
    [
      'have a password or its hash',
      `users: [{username: a, password: p, password_hash: ${phc('m=19456,t=2,p=1')}}]`,
      ['users[0].password_hash: must not be given together with password'],
    ],
    [
      'have one id each',
      'users: [{username: a, id: 1}, {username: b, id: 1}]',
      ['users[1].id: is the same as users[0].id'],
    ],
    [
      'have one address each',
      'users: [{username: a, email: A@b}, {username: b, email: a@B}]',
      ['users[1].email: is the same as users[0].email'],
    ],
    [
      'have one path each',
      'groups: [{path: a}, {path: A}]',
      ['groups[1].path: is the same as groups[0].path'],
    ],
    [
      'have one path each, with an id or without',
      'groups: [{path: a}, {path: A, id: 5}]',
      ['groups[1].path: is the same as groups[0].path'],
    ],
    [
      'keep users and groups apart',
      'users: [{username: acme}]\ngroups: [{path: Acme}]',
      ['groups[0].path: is taken by a user'],
    ],
    [
      'keep groups and projects apart',
      'groups: [{path: a}, {path: a/b}]\nprojects: [{path: a/B}]',
      ['projects[0].path: is taken by a group'],
    ],
    [
      'hold no groups in a personal namespace',
      'users: [{username: a}]\ngroups: [{path: a/b}]',
      [
        'groups[0].path: "a" is a user, and a personal namespace can\'t hold groups: choose a group as the parent',
      ],
    ],
    [
      'hold projects in a personal namespace',
      'users: [{username: a}]\ngroups: []\nprojects: [{path: a/b}]',
      [],
    ],
    [
      'have parents',
      'groups: [{path: a/b/c}, {path: a}]',
      ['groups[0].path: there is no parent group "a/b"'],
    ],
    ['may come before their parents', 'groups: [{path: a/b/c}, {path: a/b}, {path: a}]', []],
    [
      'have members once',
      'users: [{username: a}]\ngroups: [{path: g, members: [{user: a, role: guest}, {user: A, role: owner}]}]',
      ['groups[0].members[1].user: is the same as groups[0].members[0].user'],
    ],
    [
      'name known groups',
      'groups: [{path: g, invited_groups: [{group: h, role: guest}]}]',
      ['groups[0].invited_groups[0].group: there is no group "h"'],
    ],
    [
      'name known projects',
      'projects: []\ndeploy_tokens: [{username: u, projects: [a/b], scopes: [api], token: gldt-example-puller-0001}]',
      ['deploy_tokens[0].projects[0]: there is no project "a/b"'],
    ],
    [
      'name known organizations',
      'organizations: [{path: o}]\nusers: [{username: a, organization: p}]',
      ['users[0].organization: there is no organization "p"'],
    ],
    [
      'name known owners',
      'organizations: [{path: o, owners: [a]}]\nusers: []',
      ['organizations[0].owners[0]: there is no user "a"'],
    ],
    [
      'allow jobs of known projects',
      'groups: [{path: a}]\nprojects: [{path: a/b, job_token_allowlist: [a, a/c]}]',
      ['projects[0].job_token_allowlist[1]: there is no project or group "a/c"'],
    ],
    [
      'allow a list of jobs, or anyone',
      'projects: [{path: a/b, job_token_allowlist: everybody}]',
      ['projects[0].job_token_allowlist: must be a list of paths, or: anyone'],
    ],
    [
      'take what they leave out to be on the server',
      'projects: [{path: a/b, members: [{user: c, role: guest}], invited_groups: [{group: d, role: guest}]}]',
      [],
    ],
    [
      'give a secret once',
      `access_tokens: [{name: n, kind: personal, user: a, scopes: [api], ${token}, token_sha256: ${'a'.repeat(64)}}]`,
      ['access_tokens[0].token_sha256: must not be given together with token'],
    ],
    [
      'share no secrets',
      `access_tokens: [{name: n, kind: personal, user: a, scopes: [api], ${token}}]\njob_tokens: [{project: a/b, ${token}}]`,
      ['job_tokens[0].token: has the same secret as access_tokens[0].token'],
    ],
    [
      'have token names once for an owner',
      `access_tokens: [{name: n, kind: personal, user: a, scopes: [api]}, {name: n, kind: personal, user: A, scopes: [api]}]`,
      ['access_tokens[1].name: is the same as access_tokens[0].name'],
    ],
    [
      'tell tokens of one name apart by their ids',
      `access_tokens: [{name: n, id: 1, kind: personal, user: a, scopes: [api]}, {name: n, id: 2, kind: personal, user: A, scopes: [api]}]`,
      [],
    ],
    [
      'know three kinds of access token',
      'access_tokens: [{name: n, kind: job, scopes: [api]}]',
      ['access_tokens[0].kind: must be personal, project or group'],
    ],
    [
      'have an owner of their kind',
      'access_tokens: [{name: n, kind: project, user: a, scopes: [api]}]',
      [
        'access_tokens[0].project: is missing',
        'access_tokens[0].role: is missing',
        'access_tokens[0].user: is not a known field',
      ],
    ],
    [
      'have projects or a group',
      'deploy_tokens: [{username: u, projects: [], group: a, scopes: [api]}, {username: v, scopes: [api]}]',
      [
        'deploy_tokens[0]: must have either projects or group',
        'deploy_tokens[1]: must have either projects or group',
      ],
    ],
    [
      'have deploy user names once',
      'deploy_tokens: [{username: u, group: a, scopes: [api]}, {username: u, group: a, scopes: [api]}]',
      ['deploy_tokens[1].username: is the same as deploy_tokens[0].username'],
    ],
    [
      'protect repositories by a minimum role',
      'projects: [{path: a/b, protected_repositories: [{pattern: a/b}]}]',
      ['projects[0].protected_repositories[0]: must have a minimum role for push or for delete'],
    ],
    [
      'protect tags by a minimum role',
      'projects: [{path: a/b, protected_tags: [{pattern: v}]}]',
      ['projects[0].protected_tags[0]: must have a minimum role for push or for delete, or immutable: true'],
    ],
    [
      'protect immutable tags from all',
      `projects: [{path: a/b, protected_tags: [{pattern: v, immutable: true, ${rule}}]}]`,
      [
        'projects[0].protected_tags[0]: must not have minimum roles, because an immutable tag is immutable for every role',
      ],
    ],
    [
      'have five rules at most',
      `projects: [{path: a/b, protected_tags: [${Array(6).fill(`{pattern: v, ${rule}}`).join(', ')}]}]`,
      ['projects[0].protected_tags: must have at most 5 entries'],
    ],
    [
      'may ask for an admin',
      'projects: [{path: a/b, protected_tags: [{pattern: v, minimum_role_for_delete: admin}]}]',
      [],
    ],
    [
      'give no bot as a kind of user',
      'users: [{username: a, kind: project_bot}]',
      ['users[0].kind: must be one of: human, service_account'],
    ],
  ];
  for (const [title, text, problems] of rows) {
    it(title, () => {
      const found = checkDirectory(`version: 1\n${text}\n`).problems.map(
        ({ path, message }) => `${path}: ${message}`,
      );
      assert.deepEqual(found, problems);
    });
  }

  it('with a mistake are still there for the others', () => {
    const text =
      'version: 1\ngroups: [{path: a, archived: 1}, {path: b/c, id: x}, {path: b}]\nprojects: [{path: a/x}, {path: b/c/d}]';
    assert.deepEqual(check(text), [
      '2 groups[0].archived: must be true or false',
      '2 groups[1].id: must be a whole number',
    ]);
  });
});
