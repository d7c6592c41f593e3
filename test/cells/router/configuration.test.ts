import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { writeRouter } from '../../../src/cells/router/configuration.ts';
import type { RouterSettings } from '../../../src/cells/router/router.ts';

const key = (letter: string) => ({ thumbprint: letter.repeat(43), pem: `PEM ${letter}\n` });
const ONE = {
  id: 1,
  legacy: true,
  url: 'https://cell-1.example.com',
  registryUrl: 'https://registry-1.example.com',
  issuer: null,
  namespaces: ['town'],
  keys: [key('a')],
};
const TWO = {
  id: 2,
  legacy: false,
  url: 'http://10.0.0.2:8080',
  registryUrl: 'http://10.0.0.2:5000',
  issuer: null,
  namespaces: ['acme', 'a.b_c-d'],
  keys: [key('b'), key('c')],
};
const SETTINGS: RouterSettings = {
  cells: [ONE, TWO],
  binds: ['*:443'],
  certificateFile: '/etc/router/cert.pem',
  caFile: '@system-ca',
  realm: 'https://registry.example.com/jwt/auth',
  service: 'container_registry',
  followDns: false,
  sources: { connections: 10, requests: 20, refusals: 30 },
};
const write = (changes: Partial<RouterSettings>) => writeRouter({ ...SETTINGS, ...changes });
const linesOf = (config: string, start: string) =>
  config
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith(start));

describe("the registry router's configuration", () => {
  it('bounds each source before anything else, and its forged tokens before they are verified', () => {
    const lines = write({})
      .config.split('\n')
      .map((line) => line.trim());
    const at = (part: string): number => lines.findIndex((line) => line.includes(part));
    assert.ok(at('stick-table type ipv6') > 0);
    assert.ok(at('tcp-request connection track-sc0 src,ipmask(32,64)') > at('bind '));
    assert.match(lines[at('sc0_conn_cur')] ?? '', /reject if \{ sc0_conn_cur gt 10 \}$/);
    assert.match(lines[at('sc0_http_req_rate')] ?? '', /status 429 .*Retry-After 10 .*gt 20 \}$/);
    assert.match(lines[at('sc0_gpc0_rate')] ?? '', /status 429 .*bearer \{ sc0_gpc0_rate gt 30 \}$/);
    assert.ok(at('sc0_gpc0_rate') < at('jwt_verify'));
    assert.ok(at('sc-inc-gpc0(0)') > at('jwt_verify'));
    assert.ok(at('sc-inc-gpc0(0)') < at('status 401'));
  });

  it('bounds no source where the operator says so', () => {
    const { config } = write({ sources: { connections: 0, requests: 0, refusals: 0 } });
    assert.doesNotMatch(config, /status 429|sc0_conn_cur gt/);
  });

  it('has one file and one rule for each key, with the algorithm in letters', () => {
    const { config, files } = write({});
    const rules = config.split('\n').filter((line) => line.includes('jwt_verify'));
    const parts =
      /set-var\(txn\.verified\) str\((\S+)\) if \{ var\(txn\.token\) -m found } !\{ var\(txn\.verified\) -m found } \{ 'var\(txn\.token\),jwt_verify\("RS256","([^"]+)"\)' -m int 1 }$/;
    assert.deepEqual(
      rules.map((rule) => parts.exec(rule)?.slice(1)),
      [
        [`key-${'a'.repeat(43)}`, `keys/cell-1-${'a'.repeat(43)}.pem`],
        [`key-${'b'.repeat(43)}`, `keys/cell-2-${'b'.repeat(43)}.pem`],
        [`key-${'c'.repeat(43)}`, `keys/cell-2-${'c'.repeat(43)}.pem`],
      ],
    );
    assert.equal(files.get(`keys/cell-2-${'c'.repeat(43)}.pem`), 'PEM c\n');
    assert.match(config, /tune\.bufsize 65536/);
  });

  it('takes a token for the cell that it names, if that cell publishes its key', () => {
    const owners = (cells: RouterSettings['cells']) =>
      linesOf(write({ cells }).config, 'http-request set-var(txn.cell) str(cell-')
        .map((line) =>
          /str\((\S+)\) if \{ var\(txn\.verified\) -m str key-(\S)\S* } \{ var\(txn\.claimed\) -m str (\S+) }$/.exec(
            line,
          ),
        )
        .flatMap((found) => (found === null ? [] : [found.slice(1).join(' ')]));
    assert.deepEqual(owners([ONE, TWO]), ['cell-1 a cell-1', 'cell-2 b cell-2', 'cell-2 c cell-2']);
    const shared = [ONE, { ...TWO, keys: [key('a')] }];
    assert.deepEqual(owners(shared), ['cell-1 a cell-1', 'cell-2 a cell-2']);
    assert.equal(write({ cells: shared }).config.match(/jwt_verify/g)?.length, 1, 'one key, one check');
  });

  it('takes a token only from the issuer of its cell, where that is known', () => {
    const rules = (issuer: string | null) =>
      linesOf(
        write({ cells: [ONE, { ...TWO, issuer }] }).config,
        'http-request set-var(txn.cell) str(cell-2)',
      ).filter((line) => line.includes('txn.verified'));
    assert.equal(rules('gitlab two').length, 2);
    for (const line of rules('gitlab two'))
      assert.match(line, /\{ var\(txn\.issuer\) -m str -- 'gitlab two' }$/);
    for (const line of rules("-i 'x")) assert.ok(line.endsWith(`-m str -- '-i '\\''x' }`), line);
    assert.ok(rules(null).every((line) => !line.includes('txn.issuer')));
  });

  describe('reads no JSON that nobody has signed', () => {
    const READS = /jwt_(?:payload|header)_query|json_query/;
    /** What is wrong with the order, in the order in which HAProxy evaluates the frontend. */
    const problemsOf = (config: string): readonly string[] => {
      const lines = config
        .split('\n')
        .map((line) => line.trim())
        .filter((line) => !line.startsWith('#'));
      const [start, end] = ['frontend router', 'backend issuers'].map((line) => lines.indexOf(line));
      const lastCheck = lines.findLastIndex((line) => line.includes('jwt_verify('));
      const problems = lines.flatMap((line, at) => {
        if (/set-var\(txn\.verified\)|set-var-fmt\(txn\.verified\)/.test(line)) {
          return / \{ 'var\(txn\.token\),jwt_verify\("RS256","keys\/[^"]+"\)' -m int 1 }$/.test(line)
            ? []
            : [`sets the variable without a signature: ${line}`];
        }
        if (!READS.test(line)) return [];
        if (!line.startsWith('http-request ')) return [`has no place in the order: ${line}`];
        if (at < lastCheck || at < (start ?? 0) || at > (end ?? 0)) return [`is too early: ${line}`];
        return / if \{ var\(txn\.verified\) -m found }$/.test(line) ? [] : [`has no condition: ${line}`];
      });
      return lastCheck === -1 ? ['verifies nothing', ...problems] : problems;
    };
    const shapes: readonly [what: string, changes: Partial<RouterSettings>][] = [
      ['two cells', {}],
      ['one cell', { cells: [ONE] }],
      ['a cell without keys', { cells: [ONE, { ...TWO, keys: [] }] }],
      ['a key of two cells', { cells: [ONE, { ...TWO, keys: [key('a'), key('b')] }] }],
      ['many keys', { cells: [{ ...ONE, keys: [...'abcdefghij'].map(key) }, TWO] }],
      ['plain http, and DNS', { certificateFile: null, followDns: true }],
      ['an issuer each', { cells: [ONE, { ...TWO, issuer: 'two' }] }],
    ];
    for (const [what, changes] of shapes) {
      it(`with ${what}`, () => {
        const { config } = write(changes);
        assert.deepEqual(problemsOf(config), []);
        const read = changes.cells?.some(({ issuer }) => issuer !== null) ? 2 : 1;
        assert.equal(config.match(new RegExp(READS, 'g'))?.length, read, 'only $.cell and $.iss are read');
        assert.doesNotMatch(config, /\$\.alg|jwt_header_query/);
      });
    }

    const query = `var(txn.token),jwt_payload_query('$.cell')`;
    const isRule = (line: string, part: string) => line.includes(part);
    const wrong: readonly [what: string, change: (lines: string[]) => string[], problem: RegExp][] = [
      [
        'the reading comes first',
        (lines) => {
          const read = lines.filter((line) => isRule(line, 'jwt_payload_query'));
          const rest = lines.filter((line) => !isRule(line, 'jwt_payload_query'));
          const at = rest.findIndex((line) => isRule(line, 'jwt_verify'));
          return rest.toSpliced(at, 0, ...read);
        },
        /^is too early/,
      ],
      [
        'the reading depends on the algorithm in the header',
        (lines) =>
          lines.map((line) =>
            isRule(line, 'jwt_payload_query')
              ? line.replace(/ if .*$/, ` if { "var(txn.token),jwt_header_query('$.alg')" -m str RS256 }`)
              : line,
          ),
        /^has no condition/,
      ],
      [
        'the reading depends on nothing',
        (lines) =>
          lines.map((line) => (isRule(line, 'jwt_payload_query') ? line.replace(/ if .*$/, '') : line)),
        /^has no condition/,
      ],
      [
        'an acl reads, which HAProxy evaluates where it is used',
        (lines) =>
          lines.flatMap((line) => (line === 'defaults' ? [line, `acl x ${query} -m found`] : [line])),
        /^has no place/,
      ],
      [
        'the log reads',
        (lines) => lines.map((line) => (isRule(line, 'log-format') ? `log-format %[${query}]` : line)),
        /^has no place/,
      ],
      [
        'a backend is chosen by what the token says',
        (lines) => lines.map((line) => (isRule(line, 'use_backend r') ? `use_backend %[${query}]` : line)),
        /^has no place/,
      ],
      [
        'a backend reads the body',
        (lines) => [...lines, `http-request set-var(txn.x) req.body,json_query('$.x')`],
        /^is too early/,
      ],
      [
        'the token counts as verified without a signature',
        (lines) =>
          lines.map((line) =>
            isRule(line, 'jwt_verify')
              ? 'http-request set-var(txn.verified) str(x) if { var(txn.token) -m found }'
              : line,
          ),
        /without a signature/,
      ],
      [
        'the algorithm comes from the token',
        (lines) => lines.map((line) => line.replace('jwt_verify("RS256",', 'jwt_verify(txn.alg,')),
        /without a signature/,
      ],
    ];
    for (const [what, change, problem] of wrong) {
      it(`and this test notices if ${what}`, () => {
        const lines = write({})
          .config.split('\n')
          .map((line) => line.trim());
        const problems = problemsOf(change(lines).join('\n'));
        assert.ok(
          problems.some((one) => problem.test(one)),
          problems.join('\n'),
        );
      });
    }
  });

  it('lists namespaces in a file, and names every file that it needs', () => {
    const { config, files } = write({});
    const [map] = [...files.keys()].filter((name) => name.endsWith('.map'));
    assert.equal(files.get(map!), 'town cell-1\nacme cell-2\na.b_c-d cell-2\n');
    for (const name of files.keys()) assert.ok(config.includes(name), name);
  });

  it('names files by what they hold', () => {
    const names = ({ files }: ReturnType<typeof write>) =>
      [...files.keys()].filter((name) => name.endsWith('.map'));
    assert.notDeepEqual(names(write({})), names(write({ cells: [ONE, { ...TWO, namespaces: ['acme'] }] })));
    assert.deepEqual(write({}), write({}));
  });

  it('verifies servers by https, by their own names', () => {
    const { config } = write({ caFile: '/etc/ca.pem' });
    assert.deepEqual(linesOf(config, 'server registry'), [
      "server registry 'registry-1.example.com:443' check maxconn 1000 init-addr libc,none ssl verify required ca-file '/etc/ca.pem' verifyhost registry-1.example.com sni str(registry-1.example.com) check-sni registry-1.example.com alpn http/1.1 check-alpn http/1.1 on-marked-down shutdown-sessions",
      "server registry '10.0.0.2:5000' check maxconn 1000 init-addr libc,none on-marked-down shutdown-sessions",
    ]);
    assert.doesNotMatch(config, /verify none/);
  });

  it('compares certificates with a name that has no dot at its end, and sends none in Host', () => {
    const cell = {
      ...TWO,
      url: 'https://cell-2.example.com.:8443',
      registryUrl: 'https://registry-2.example.com.',
    };
    const { config } = write({ cells: [ONE, cell] });
    assert.doesNotMatch(config, /(?:verifyhost|check-sni) \S+\.(?: |$)|sni str\(\S+\.\)/m);
    assert.ok(config.includes("http-request set-header Host 'registry-2.example.com'"), config);
    assert.equal(linesOf(config, 'server cell-2.example.com:8443 ').length, 1);
    assert.equal(linesOf(config, 'use-server cell-2.example.com:8443 ').length, 1);
  });

  for (const issuer of ['é', '日本', 'a\tb', '\u007f']) {
    it(`refuses the issuer ${JSON.stringify(issuer)}, which HAProxy can't read in a token`, () => {
      assert.throws(
        () => write({ cells: [ONE, { ...TWO, issuer }] }),
        /the issuer of cell 2 must be printable ASCII/,
      );
    });
  }

  it('follows names by DNS where that is wanted, and never addresses', () => {
    const servers = linesOf(write({ followDns: true }).config, 'server registry');
    assert.deepEqual(
      servers.map((line) => line.includes(' resolvers dns')),
      [true, false],
    );
  });

  it('leaves out issuers that it could not reach', () => {
    const { config } = write({ cells: [{ ...ONE, url: 'https://cell-1.example.com/path' }, TWO] });
    assert.deepEqual(linesOf(config, 'server 10'), [
      "server 10.0.0.2:8080 '10.0.0.2:8080' check maxconn 1000 init-addr libc,none",
    ]);
  });

  it('writes a challenge as a literal', () => {
    const { config } = write({ service: `a"b\\c%[src]'d` });
    assert.ok(config.includes(`service="a\\"b\\\\c%%[src]'\\''d"`), config);
  });

  const tokenPaths: [path: string, isTokenEndpoint: boolean][] = [
    ['/jwt/auth', true],
    ['/jwt/auth/', true],
    ['//jwt/auth', true],
    ['/jwt//auth//', true],
    ['/auth/token', true],
    ['//auth//token/', true],
    ['/jwt/authx', false],
    ['/jwt/auth/x', false],
    ['/x/jwt/auth', false],
    ['/v2/jwt/auth', false],
    ['/jwt/auth#', false],
    ['/jwt%2fauth', false],
  ];
  for (const [path, isTokenEndpoint] of tokenPaths) {
    it(`${isTokenEndpoint ? 'sends' : "doesn't send"} ${path} to the issuers, as deploy/haproxy.cfg does`, () => {
      const [rule = ''] = linesOf(write({}).config, 'acl token_endpoint path -m reg');
      const [, regex = ''] = /'(.+)'$/.exec(rule) ?? [];
      assert.equal(new RegExp(regex).test(path), isTokenEndpoint);
      const example = readFileSync('deploy/haproxy.cfg', 'utf8');
      const [, list = ''] = /^ +acl token-endpoint path_reg (.+)$/m.exec(example) ?? [];
      assert.equal(
        list.split(' ').some((one) => new RegExp(one).test(path)),
        isTokenEndpoint,
      );
    });
  }

  it('gives a request that may be a password login the time of a password, and a token no more than others', () => {
    assert.deepEqual(linesOf(write({}).config, 'http-request set-timeout'), [
      'http-request set-timeout server 12s if { method POST } or { http_auth_pass -m found } !{ http_auth_pass -m reg ^gl[a-z]{1,10}- }',
    ]);
  });

  it('shows no statistics', () => {
    assert.doesNotMatch(write({}).config, /\bstats\b/);
  });

  const HOSTILE: readonly [what: string, changes: Partial<RouterSettings>, problem: RegExp][] = [
    [
      'a registry below a path',
      { cells: [{ ...ONE, registryUrl: 'https://a/b' }] },
      /registry_url of cell 1 has a path/,
    ],
    [
      'https to an address',
      { cells: [{ ...ONE, registryUrl: 'https://10.0.0.1' }] },
      /compares certificates with names only/,
    ],
    [
      'https to an IPv6 address',
      { cells: [{ ...ONE, registryUrl: 'https://[::1]' }] },
      /compares certificates with names only/,
    ],
    [
      'a host that is none',
      { cells: [{ ...ONE, registryUrl: 'http://a$b' }] },
      /neither a name nor an address/,
    ],
    [
      'no issuer within reach',
      { cells: [{ ...ONE, url: 'https://10.0.0.1' }] },
      /cells have no url that the router can use/,
    ],
    [
      'a namespace on two lines',
      { cells: [{ ...ONE, namespaces: ['acme\nother cell-1'] }] },
      /a namespace of cell 1/,
    ],
    [
      'a namespace with a space',
      { cells: [{ ...ONE, namespaces: ['acme cell-1'] }] },
      /a namespace of cell 1/,
    ],
    [
      'a thumbprint that leaves its folder',
      { cells: [{ ...ONE, keys: [{ thumbprint: '../../x', pem: '' }] }] },
      /a key of cell 1/,
    ],
    ['a bind on two lines', { binds: ['*:443\n  stats enable'] }, /control character/],
    ['a certificate on two lines', { certificateFile: '/a\nb' }, /control character/],
    ['a CA file on two lines', { caFile: '/a\rb' }, /control character/],
    ['a realm on two lines', { realm: 'https://a/\njwt' }, /printable ASCII/],
    ['a service on two lines', { service: 'a\r\nSet-Cookie: x' }, /printable ASCII/],
  ];
  for (const [what, changes, problem] of HOSTILE) {
    it(`is not written with ${what}`, () => {
      assert.throws(() => write(changes), problem);
    });
  }
});
