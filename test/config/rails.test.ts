import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '../../src/config/load.ts';
import { warnOfUnencrypted } from '../../src/config/unencrypted.ts';

const RAILS = 'https://gitlab.internal';

describe('the settings of GitLab Rails beside cellpass', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellpass-rails-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const load = (environment: Readonly<Record<string, string>>, file = ''): Config => {
    const path = join(dir, 'cellpass.yaml');
    writeFileSync(path, file);
    return loadConfig({ ...environment, ...(file !== '' && { CELLPASS_CONFIG: path }) });
  };

  it('are none by default', () => {
    assert.equal(load({}).rails, null);
  });

  it('need the address alone, and then pass on the dependency proxy', () => {
    assert.deepEqual(load({ CELLPASS_GITLAB_RAILS_URL: `${RAILS}/` }).rails, {
      url: RAILS,
      rules: {
        mode: 'serve',
        comparePercent: 0,
        passServices: ['dependency_proxy'],
        serveNamespaces: null,
        servePercent: 100,
        expectedDifferences: [],
      },
    });
  });

  it('are all read from the file, and the variables win', () => {
    const file = `
gitlab:
  rails_url: http://127.0.0.1:8181/gitlab
  mode: serve
  pass_services: []
  serve_namespaces: [Acme, tools]
  serve_percent: 12.5
  expected_differences: [{rule: token_expired, credential: access_token}]
`;
    const { rails } = load({ CELLPASS_GITLAB_MODE: 'observe' }, file);
    assert.deepEqual(rails, {
      url: 'http://127.0.0.1:8181/gitlab',
      rules: {
        mode: 'observe',
        comparePercent: 0,
        passServices: [],
        serveNamespaces: ['acme', 'tools'],
        servePercent: 12.5,
        expectedDifferences: [{ rule: 'token_expired', credential: 'access_token' }],
      },
    });
  });

  const WRONG: readonly (readonly [what: string, section: string, message: RegExp])[] = [
    ['observing without Rails', 'mode: observe', /mode: observe needs CELLPASS_GITLAB_RAILS_URL/],
    ...['compare_percent: 1', 'pass_services: [x]', 'serve_namespaces: [x]', 'serve_percent: 5'].map(
      (setting) =>
        [`${setting} without Rails`, setting, /: needs CELLPASS_GITLAB_RAILS_URL, the address/] as const,
    ),
    [
      'expected differences without Rails',
      'expected_differences: [{rule: a, credential: b}]',
      /expected_differences: needs/,
    ],
    ['another mode', `{rails_url: ${RAILS}, mode: both}`, /mode: must be one of: serve, observe/],
    ['an address of another kind', 'rails_url: ftp://x', /rails_url: must be an http\(s\) URL/],
    ['an address with a password', 'rails_url: https://u:p@x', /rails_url: must be an http\(s\) URL/],
    ['the path of the endpoint', `rails_url: ${RAILS}/jwt/auth/`, /must not end with \/jwt\/auth/],
    ['its own address', `{rails_url: ${RAILS}}`, /rails_url: is CELLPASS_PUBLIC_URL/],
    [
      'a comparison without a database',
      `{rails_url: ${RAILS}/x, compare_percent: 5}`,
      /compare_percent: needs CELLPASS_GITLAB_DATABASE_URL/,
    ],
    ['no percentage', `{rails_url: ${RAILS}/x, serve_percent: }`, /serve_percent: must be a number/],
    [
      'an empty percentage',
      `{rails_url: ${RAILS}/x, compare_percent: ''}`,
      /compare_percent: must be a number/,
    ],
    [
      'a percentage that is a flag',
      `{rails_url: ${RAILS}/x, serve_percent: true}`,
      /serve_percent: must be a number/,
    ],
    ['more than all', `{rails_url: ${RAILS}/x, serve_percent: 101}`, /serve_percent: must be/],
    ['a group below another', `{rails_url: ${RAILS}/x, serve_namespaces: [a/b]}`, /a top-level group/],
    ['no group at all', `{rails_url: ${RAILS}/x, serve_namespaces: []}`, /serve_namespaces/],
    [
      'an expected difference without a rule',
      `{rails_url: ${RAILS}/x, expected_differences: [{credential: job}]}`,
      /expected_differences/,
    ],
  ];
  for (const [what, section, message] of WRONG) {
    it(`are refused with ${what}`, () => {
      const text = section.startsWith('{') ? `gitlab: ${section}` : `gitlab: {${section}}`;
      assert.throws(() => load({ CELLPASS_PUBLIC_URL: RAILS }, text), message);
    });
  }

  it('warn where credentials would go without TLS', () => {
    const warnings = (url: string): readonly string[] =>
      warnOfUnencrypted(load({ CELLPASS_GITLAB_RAILS_URL: url }));
    assert.match(warnings('http://gitlab.internal:8181').join(), /CELLPASS_GITLAB_RAILS_URL: Rails is asked/);
    assert.deepEqual(warnings('http://127.0.0.1:8181'), []);
    assert.deepEqual(warnings(RAILS), []);
  });
});
