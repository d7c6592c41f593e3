import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig, readIssuerRules } from '../../src/config/load.ts';

const PUBLIC = { CELLPASS_PUBLIC_URL: 'https://registry.example.com' };

describe('the settings of issuers of ID tokens', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(join(tmpdir(), 'cellpass-federation-'));
  });
  after(() => rmSync(dir, { recursive: true, force: true }));

  const write = (file: string): string => {
    const path = join(dir, 'cellpass.yaml');
    writeFileSync(path, file);
    return path;
  };
  const load = (file: string, environment: Readonly<Record<string, string>> = PUBLIC): Config =>
    loadConfig({ ...environment, CELLPASS_CONFIG: write(file) });
  const federation = (issuers: string, more = '') =>
    load(`federation: {issuers: ${issuers}${more}}`).federation!;

  it('are none by default', () => {
    assert.equal(loadConfig({}).federation, null);
  });

  it('have defaults for everything but the issuers', () => {
    const { maxLifetimeSeconds, exchangeTtlSeconds, identities, issuers } = federation(
      '{github: {preset: github}}',
    );
    assert.deepEqual([maxLifetimeSeconds, exchangeTtlSeconds, identities], [86_400, 900, []]);
    assert.deepEqual(issuers, [
      {
        name: 'github',
        issuer: 'https://token.actions.githubusercontent.com',
        preset: 'github',
        audience: 'https://registry.example.com',
        algorithms: ['RS256', 'ES256'],
        mustPin: ['repository_id'],
        keys: { jwksUri: null, fallbackUri: null, caFile: null },
      },
    ]);
  });

  const presets: [
    entry: string,
    issuer: string,
    mustPin: string[],
    jwksUri: string | null,
    fallbackUri: string | null,
  ][] = [
    [
      '{preset: gitlab, issuer: https://gitlab.example.com}',
      'https://gitlab.example.com',
      ['project_id'],
      'https://gitlab.example.com/oauth/discovery/keys',
      null,
    ],
    [
      '{preset: gitlab, issuer: https://gitlab.example.com, jwks_uri: https://keys.example.com/jwks}',
      'https://gitlab.example.com',
      ['project_id'],
      'https://keys.example.com/jwks',
      null,
    ],
    [
      '{preset: kubernetes, issuer: https://k8s.internal}',
      'https://k8s.internal',
      ['sub'],
      null,
      'https://k8s.internal/openid/v1/jwks',
    ],
    ['{preset: buildkite}', 'https://agent.buildkite.com', ['organization_id'], null, null],
    [
      '{preset: circleci, issuer: https://oidc.circleci.com/org/1}',
      'https://oidc.circleci.com/org/1',
      ['oidc.circleci.com/project-id'],
      null,
      null,
    ],
    [
      '{preset: github, issuer: https://ghe.example.com/_services/token}',
      'https://ghe.example.com/_services/token',
      ['repository_id'],
      null,
      null,
    ],
    [
      '{preset: github, must_pin: [environment, repository_id]}',
      'https://token.actions.githubusercontent.com',
      ['repository_id', 'environment'],
      null,
      null,
    ],
    ['{issuer: https://idp.example.com, must_pin: [sub]}', 'https://idp.example.com', ['sub'], null, null],
    [
      '{issuer: not a url, jwks_uri: https://keys.example.com/jwks, must_pin: [sub]}',
      'not a url',
      ['sub'],
      'https://keys.example.com/jwks',
      null,
    ],
  ];
  for (const [entry, issuer, mustPin, jwksUri, fallbackUri] of presets) {
    it(`are read from ${entry}`, () => {
      const [one] = federation(`{ci: ${entry}}`).issuers;
      assert.deepEqual([one?.issuer, one?.mustPin], [issuer, mustPin]);
      assert.deepEqual([one?.keys.jwksUri, one?.keys.fallbackUri], [jwksUri, fallbackUri]);
    });
  }

  it('may give each issuer an audience, and one issuer several', () => {
    const { issuers } = federation(
      '{a: {preset: kubernetes, issuer: https://k, audience: https://a}, b: {preset: kubernetes, issuer: https://k, audience: https://b}}',
      ', audience: https://common',
    );
    assert.deepEqual(
      issuers.map(({ audience }) => audience),
      ['https://a', 'https://b'],
    );
  });

  const refused: [
    what: string,
    section: string,
    message: RegExp,
    environment?: Readonly<Record<string, string>>,
  ][] = [
    ['no issuers', '{}', /FEDERATION.issuers: is missing/],
    ['an empty list of issuers', '{issuers: {}}', /must name at least one issuer/],
    [
      'no audience',
      '{issuers: {ci: {preset: github}}}',
      /FEDERATION.audience: is missing: set it, or CELLPASS_PUBLIC_URL/,
      {},
    ],
    [
      'an audience that is a service',
      '{audience: container_registry, issuers: {ci: {preset: github}}}',
      /FEDERATION.audience: is the name of a service/,
    ],
    [
      'an audience of one issuer that is a service',
      '{issuers: {ci: {preset: github, audience: container_registry}}}',
      /FEDERATION.issuers.ci.audience: is the name of a service/,
    ],
    [
      'two with the same issuer and audience',
      '{issuers: {a: {preset: github}, b: {preset: github}}}',
      /FEDERATION.issuers.b: has the issuer and the audience of federation.issuers.a/,
    ],
    [
      'this server as an issuer',
      '{issuers: {ci: {issuer: cellpass, jwks_uri: https://k/jwks, must_pin: [sub]}}}',
      /issuers.ci.issuer: is this server itself/,
    ],
    [
      'the own address as an issuer',
      '{issuers: {ci: {issuer: https://registry.example.com, must_pin: [sub]}}}',
      /issuers.ci.issuer: is this server itself/,
    ],
    [
      'no preset and nothing to pin',
      '{issuers: {ci: {issuer: https://x}}}',
      /issuers.ci.must_pin: is missing/,
    ],
    ['a preset without its issuer', '{issuers: {ci: {preset: gitlab}}}', /issuers.ci.issuer: is missing/],
    ['another preset', '{issuers: {ci: {preset: jenkins}}}', /preset: must be one of: github/],
    [
      'an issuer over http',
      '{issuers: {ci: {issuer: http://idp.example.com, must_pin: [sub]}}}',
      /issuers.ci.issuer: must be an https URL/,
    ],
    [
      'an issuer over http on this machine',
      '{issuers: {ci: {issuer: http://127.0.0.1:1, must_pin: [sub]}}}',
      /issuers.ci.issuer: must be an https URL/,
    ],
    ...['?tenant=1', '?', '#x'].map((rest): [string, string, RegExp] => [
      `an issuer with ${rest}, after which no path can come`,
      `{issuers: {ci: {issuer: "https://idp.example.com${rest}", must_pin: [sub]}}}`,
      /issuers.ci.issuer: must be an https URL without user, query and fragment/,
    ]),
    ...['issuer', 'audience', 'jwks_uri'].map((field): [string, string, RegExp] => [
      `${field} with a space at its end`,
      `{issuers: {ci: {preset: github, ${field}: "https://idp.example.com/ "}}}`,
      new RegExp(`issuers.ci.${field}: must not begin or end with white space`),
    ]),
    [
      'keys over http',
      '{issuers: {ci: {preset: github, jwks_uri: http://idp.example.com}}}',
      /issuers.ci.jwks_uri: must be an https URL/,
    ],
    [
      'keys behind a password',
      '{issuers: {ci: {preset: github, jwks_uri: "https://u:p@idp.example.com"}}}',
      /jwks_uri: must be an https URL without user/,
    ],
    ['no algorithms', '{issuers: {ci: {preset: github, algorithms: []}}}', /algorithms: must not be empty/],
    [
      'an algorithm with a secret key',
      '{issuers: {ci: {preset: github, algorithms: [HS256]}}}',
      /algorithms.0: must be one of: RS256/,
    ],
    [
      'no algorithm at all',
      '{issuers: {ci: {preset: github, algorithms: [none]}}}',
      /algorithms.0: must be one of/,
    ],
    [
      'an exchanged token that ends too soon',
      '{exchange_ttl_seconds: 299, issuers: {ci: {preset: github}}}',
      /exchange_ttl_seconds: must be 300 or more/,
    ],
    [
      'an exchanged token that lives too long',
      '{exchange_ttl_seconds: 3601, issuers: {ci: {preset: github}}}',
      /exchange_ttl_seconds: must be 3600 or less/,
    ],
    [
      'a CA that is no file',
      '{issuers: {ci: {preset: github, ca_file: /nowhere.pem}}}',
      /issuers.ci.ca_file: can't be used/,
    ],
    [
      'identities beside the own directory',
      '{issuers: {ci: {preset: github}}, identities: []}',
      /FEDERATION.identities: belongs into the directory document/,
    ],
    ['the name that metrics need', '{issuers: {unknown: {preset: github}}}', /issuers.unknown: is taken/],
    ['a name in upper case', '{issuers: {CI: {preset: github}}}', /letters in lower case/],
    [
      'another field',
      '{issuers: {ci: {preset: github, jwks_url: x}}}',
      /issuers.ci.jwks_url: is not a setting/,
    ],
  ];
  for (const [what, section, message, environment] of refused) {
    it(`are refused with ${what}`, () => {
      assert.throws(() => load(`federation: ${section}`, environment), message);
    });
  }

  describe('with GitLab as the directory', () => {
    const withIdentities = (identities: string): Config => {
      const secrets = join(dir, 'secrets.json');
      writeFileSync(secrets, '{"gitlab_rails": {"db_key_base": "example"}}');
      return load(`federation: {issuers: {ci: {preset: github}}, identities: ${identities}}
gitlab: {database_url: "postgres://db.example.com/gitlab?sslmode=verify-full", secrets_file: ${secrets}}`);
    };
    const ONE =
      '{name: one, issuer: ci, account: release-bot, scopes: [read_registry], claims: {repository_id: "1"}}';

    it('name users of GitLab', () => {
      assert.deepEqual(withIdentities(`[${ONE}]`).federation?.identities, [
        {
          name: 'one',
          issuer: 'ci',
          account: 'release-bot',
          scopes: ['read_registry'],
          claims: { repository_id: '1' },
          expiresOn: null,
        },
      ]);
    });

    for (const [what, identities, message] of [
      ['one name twice', `[${ONE}, ${ONE}]`, /identities.1.name: is also that of identities.0/],
      ['another issuer', `[${ONE.replace('ci', 'gl')}]`, /identities.0.issuer: there is no issuer gl/],
      [
        'a claim less than the preset demands',
        `[${ONE.replace('repository_id', 'sub')}]`,
        /identities.0.claims: must pin repository_id/,
      ],
      ['no claims', `[${ONE.replace('repository_id: "1"', '')}]`, /must name at least one claim/],
    ] as const) {
      it(`are refused with ${what}`, () => assert.throws(() => withIdentities(identities), message));
    }
  });

  describe('for the check of a document', () => {
    it('are read without a look at anything else', () => {
      const file = write(
        'data_dir: 7\nfederation: {issuers: {ci: {preset: github}, k: {preset: kubernetes, issuer: https://k}}}',
      );
      assert.deepEqual(readIssuerRules({ CELLPASS_CONFIG: file }), { ci: ['repository_id'], k: ['sub'] });
    });

    it('are none without a file, and without the section', () => {
      assert.equal(readIssuerRules({}), null);
      assert.equal(readIssuerRules({ CELLPASS_CONFIG: write('data_dir: x') }), null);
    });

    it('are refused with their line', () => {
      const file = write('federation:\n  issuers:\n    ci: {preset: jenkins}');
      assert.throws(
        () => readIssuerRules({ CELLPASS_CONFIG: file }),
        /line 3 .*federation.issuers.ci.preset/,
      );
    });
  });
});
