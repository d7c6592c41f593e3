import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Config, loadConfig } from '../../src/config/load.ts';
import { describeUnknownVariable } from '../../src/config/sources.ts';
import { CellpassError } from '../../src/errors.ts';

/** The names of the variables that are reported. */
function reported(environment: Record<string, string>): readonly string[] {
  try {
    loadConfig(environment);
    return [];
  } catch (error) {
    assert.ok(error instanceof CellpassError);
    assert.equal(error.code, 'invalid');
    const problems = error.details.problems ?? [];
    for (const { path } of problems) assert.ok(error.message.includes(path), `${path} is not in the message`);
    return problems.map(({ path }) => path);
  }
}

describe('the configuration', () => {
  it('has a default for everything', () => {
    const { listen, publicUrl, issuer, services, cell, databaseUrl, dataDir, keysDir } = loadConfig({});
    assert.deepEqual(
      { listen, publicUrl, issuer, cell, databaseUrl, dataDir, keysDir, services },
      {
        listen: { host: '127.0.0.1', port: 8080 },
        publicUrl: null,
        issuer: 'cellpass',
        cell: 1,
        databaseUrl: null,
        dataDir: './data',
        keysDir: './keys',
        services: [
          {
            name: 'container_registry',
            kid: 'libtrust',
            x5c: true,
            userClaim: true,
            tokenReuseSeconds: 0,
            issuedAt: false,
            expandStar: false,
            tokenTtlSeconds: 300,
            pushTtlSeconds: 300,
          },
        ],
      },
    );
  });

  it('reports every problem at once, by the name of the variable', () => {
    const names = reported({
      CELLPASS_LISTEN: '8080',
      CELLPASS_TOKEN_TTL_SECONDS: '59',
      CELLPASS_DATABASE_URL: 'mysql://db',
      CELLPASS_TRUSTED_PROXIES: '10.0.0.0/8,10.0.0.1',
      CELLPASS_LOG_LEVEL: 'loud',
      CELLPASS_PUBLIC_URL: 'https://auth.example.com/?a=b',
      CELLPASS_CELL: '0',
      CELLPASS_MIGRATE: 'maybe',
      CELLPASS_TLS_CERT: 'cert.pem',
    });
    assert.deepEqual(
      new Set(names),
      new Set([
        'CELLPASS_LISTEN',
        'CELLPASS_TOKEN_TTL_SECONDS',
        'CELLPASS_DATABASE_URL',
        'CELLPASS_TRUSTED_PROXIES.1',
        'CELLPASS_LOG_LEVEL',
        'CELLPASS_PUBLIC_URL',
        'CELLPASS_CELL',
        'CELLPASS_MIGRATE',
      ]),
    );
    assert.deepEqual(reported({ CELLPASS_TLS_CERT: 'cert.pem' }), ['CELLPASS_TLS_KEY']);
    assert.deepEqual(reported({ CELLPASS_TLS_KEY: 'key.pem' }), ['CELLPASS_TLS_CERT']);
  });

  const wrong: [name: string, value: string][] = [
    ['CELLPASS_LISTEN', '127.0.0.1:65536'],
    ['CELLPASS_LISTEN', ':8080'],
    ['CELLPASS_TOKEN_TTL_SECONDS', '3601'],
    ['CELLPASS_TOKEN_TTL_SECONDS', 'soon'],
    ['CELLPASS_PUBLIC_URL', 'auth.example.com'],
    ['CELLPASS_PUBLIC_URL', 'https://user@auth.example.com'],
    ['CELLPASS_PUBLIC_URL', 'https://:secret@auth.example.com'],
    ['CELLPASS_SERVICES', ','],
    ['CELLPASS_WORKERS', '2'],
    ['CELLPASS_ADMIN_LISTEN', '9000'],
    ['CELLPASS_ADMIN_LISTEN', '0.0.0.0:9000'],
    ['CELLPASS_ADMIN_LISTEN', '[::]:9000'],
    ['CELLPASS_ADMIN_LISTEN', '10.0.0.1:9000'],
    ['CELLPASS_ADMIN_LISTEN', '[::ffff:10.0.0.1]:9000'],
    ['CELLPASS_ADMIN_LISTEN', '128.0.0.1:9000'],
    ['CELLPASS_ADMIN_LISTEN', 'admin.example.com:9000'],
    ['CELLPASS_ADMIN_LISTEN', '127.0.0.1.example.com:9000'],
    ['CELLPASS_ADMIN_LISTEN', 'localhost.example.com:9000'],
  ];
  for (const [name, value] of wrong) {
    it(`refuses ${name}=${value}`, () => assert.deepEqual(reported({ [name]: value }), [name]));
  }

  const wrongEntries: [name: string, value: string][] = [
    ['CELLPASS_CORS_ORIGINS', '*'],
    ['CELLPASS_CORS_ORIGINS', 'null'],
    ['CELLPASS_CORS_ORIGINS', 'ui.example.com'],
    ['CELLPASS_CORS_ORIGINS', 'https://ui.example.com/'],
    ['CELLPASS_CORS_ORIGINS', 'https://ui.example.com/page'],
    ['CELLPASS_CORS_ORIGINS', 'https://UI.example.com'],
    ['CELLPASS_CORS_ORIGINS', 'https://ui.example.com:443'],
    ['CELLPASS_CORS_ORIGINS', 'https://*.example.com'],
    ['CELLPASS_CORS_ORIGINS', 'file:///page'],
    ['CELLPASS_TRUSTED_PROXIES', '10.0.0.1'],
    ['CELLPASS_TRUSTED_PROXIES', '10.0.0.0/33'],
    ['CELLPASS_TRUSTED_PROXIES', '10/8'],
    ['CELLPASS_TRUSTED_PROXIES', '0x0a.0.0.0/8'],
    ['CELLPASS_TRUSTED_PROXIES', '::ffff:10.0.0.0/95'],
    ['CELLPASS_TRUSTED_PROXIES', '::ffff:0:0/0'],
    ['CELLPASS_TRUSTED_PROXIES', 'fe80::%eth0/64'],
  ];
  for (const [name, value] of wrongEntries) {
    it(`refuses ${value} in ${name}`, () => assert.deepEqual(reported({ [name]: value }), [`${name}.0`]));
  }

  const meant: [variable: string, described: string][] = [
    ['CELLPASS_LISTN', 'CELLPASS_LISTN (did you mean CELLPASS_LISTEN?)'],
    ['CELLPASS_DATABASE_URI', 'CELLPASS_DATABASE_URI (did you mean CELLPASS_DATABASE_URL?)'],
    ['CELLPASS_LIMITS_SCOPES', 'CELLPASS_LIMITS_SCOPES (set limits.scopes in the file of CELLPASS_CONFIG)'],
    ['CELLPASS_SERVICE_HOST_NAME', 'CELLPASS_SERVICE_HOST_NAME'],
  ];
  for (const [name, described] of meant)
    it(`says what ${name} probably means`, () => assert.equal(describeUnknownVariable(name), described));

  const misspelt: [yaml: string, message: RegExp][] = [
    ['listn: x', /line 1 of .*: CELLPASS_LISTN: is not a setting; did you mean listen\?$/],
    ['limits:\n  scope: 5', /line 2 of .*: CELLPASS_LIMITS\.scope: is not a setting; did you mean scopes\?$/],
    ['services: {a: {token_tll_seconds: 60}}', /is not a setting; did you mean token_ttl_seconds\?$/],
    ['registries: [{name: a, ur: "https://r"}]', /CELLPASS_REGISTRIES\.0\.urls?: is not a setting/],
    ['log_level: wran', /CELLPASS_LOG_LEVEL: must be one of: .*; did you mean warn\?$/],
    ['gitlab: {mode: observed}', /; did you mean observe\?$/],
  ];
  for (const [yaml, message] of misspelt) {
    it(`names line, key and what ${yaml.slice(0, 20)} probably means`, () => {
      const folder = mkdtempSync(join(tmpdir(), 'cellpass-misspelt-'));
      const file = join(folder, 'cellpass.yaml');
      writeFileSync(file, yaml.replace('ur:', 'url: "https://r", urls:'));
      try {
        assert.throws(() => loadConfig({ CELLPASS_CONFIG: file }), message);
      } finally {
        rmSync(folder, { recursive: true });
      }
    });
  }

  it('says what is wrong with a word of a text', () => {
    assert.throws(
      () => loadConfig({ CELLPASS_TRUSTED_PROXIES: '10.0.0.1' }),
      /CELLPASS_TRUSTED_PROXIES\.0: must be a CIDR range such as 10\.0\.0\.0\/8/,
    );
  });

  const namesOf = ({ services }: Config): readonly string[] => services.map(({ name }) => name);
  const right: [name: string, value: string, read: (config: Config) => unknown, expected: unknown][] = [
    ['CELLPASS_LISTEN', '[::1]:0', ({ listen }) => listen, { host: '::1', port: 0 }],
    [
      'CELLPASS_PUBLIC_URL',
      'https://auth.example.com/',
      ({ publicUrl }) => publicUrl,
      'https://auth.example.com',
    ],
    ['CELLPASS_SERVICES', 'a, b', namesOf, ['a', 'b']],
    ['CELLPASS_SERVICES', 'Docker registry', namesOf, ['Docker registry']],
    [
      'CELLPASS_SERVICES',
      ' Docker registry ,container_registry,',
      namesOf,
      ['Docker registry', 'container_registry'],
    ],
    [
      'CELLPASS_CORS_ORIGINS',
      'https://ui.example.com, http://127.0.0.1:3000',
      ({ corsOrigins }) => corsOrigins,
      ['https://ui.example.com', 'http://127.0.0.1:3000'],
    ],
    [
      'CELLPASS_TRUSTED_PROXIES',
      '::ffff:10.0.0.0/104,::FFFF:a00:1/128,::ffff:0:0/96,2001:DB8::/32',
      ({ trustedProxies }) => trustedProxies,
      ['10.0.0.0/8', '10.0.0.1/32', '0.0.0.0/0', '2001:db8::/32'],
    ],
    [
      'CELLPASS_TRUSTED_PROXIES',
      '10.0.0.0/8 ::1/128',
      ({ trustedProxies }) => trustedProxies,
      ['10.0.0.0/8', '::1/128'],
    ],
    ['CELLPASS_ADMIN_LISTEN', '', ({ adminListen }) => adminListen, null],
    ['CELLPASS_ADMIN_LISTEN', '127.1.2.3:9000', ({ adminListen }) => adminListen?.host, '127.1.2.3'],
    ['CELLPASS_ADMIN_LISTEN', '[::1]:9000', ({ adminListen }) => adminListen?.host, '::1'],
    ['CELLPASS_ADMIN_LISTEN', '[::ffff:127.0.0.1]:9000', ({ adminListen }) => adminListen?.port, 9000],
    ['CELLPASS_ADMIN_LISTEN', 'localhost:9000', ({ adminListen }) => adminListen?.host, 'localhost'],
    ['CELLPASS_MIGRATE', 'false', ({ migrate }) => migrate, false],
    ['CELLPASS_WORKERS', '1', ({ workers }) => workers, 1],
    ['CELLPASS_ISSUER', '', ({ issuer }) => issuer, 'cellpass'],
    ['CELLPASS_TYPO', 'x', ({ unknownVariables }) => unknownVariables, ['CELLPASS_TYPO']],
    ['CELLPASS_KEYS', 'x', ({ unknownVariables }) => unknownVariables, ['CELLPASS_KEYS']],
    ['CELLPASS_TEST_INSTALL', '1', ({ unknownVariables }) => unknownVariables, []],
  ];
  for (const [name, value, read, expected] of right) {
    it(`reads ${name}=${value}`, () => assert.deepEqual(read(loadConfig({ [name]: value })), expected));
  }

  it('takes the admin API to other machines with TLS alone', () => {
    const anywhere = { CELLPASS_ADMIN_LISTEN: '0.0.0.0:9000' };
    assert.deepEqual(reported({ ...anywhere, CELLPASS_TLS_CERT: 'cert.pem' }), [
      'CELLPASS_TLS_KEY',
      'CELLPASS_ADMIN_LISTEN',
    ]);
    const tls = { CELLPASS_TLS_CERT: 'cert.pem', CELLPASS_TLS_KEY: 'key.pem' };
    assert.deepEqual(loadConfig({ ...anywhere, ...tls }).adminListen, { host: '0.0.0.0', port: 9000 });
  });

  it('takes both halves of TLS', () => {
    const { tls } = loadConfig({ CELLPASS_TLS_CERT: 'cert.pem', CELLPASS_TLS_KEY: 'key.pem' });
    assert.deepEqual(tls, { certFile: 'cert.pem', keyFile: 'key.pem' });
  });
});

describe('the configuration file', () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'cellpass-config-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const write = (text: string): Record<string, string> => {
    const file = join(folder, 'cellpass.yaml');
    writeFileSync(file, text);
    return { CELLPASS_CONFIG: file };
  };

  it('has the same names in lower case, and the environment wins', () => {
    const file = write('issuer: from-file\ncell: 7\nkeys: {leaf_hours: 24}\nlimits: {scopes: 10}\n');
    const config = loadConfig({ ...file, CELLPASS_ISSUER: 'from-environment' });
    assert.deepEqual(
      [
        config.issuer,
        config.cell,
        config.keys.leafHours,
        config.keys.propagationSeconds,
        config.limits.scopes,
      ],
      ['from-environment', 7, 24, 300, 10],
    );
  });

  const attempts: [text: string, perAddress: number, perAccount: number][] = [
    ['{}', 30, 30],
    ['{failed_attempts: 5}', 5, 5],
    ['{failed_attempts_per_address: 1000}', 1000, 30],
    ['{failed_attempts: 0}', 0, 0],
    ['{failed_attempts: 0, failed_attempts_per_address: 30}', 30, 0],
  ];
  for (const [text, perAddress, perAccount] of attempts) {
    it(`bounds failed attempts by address as by account, unless told otherwise: ${text}`, () => {
      assert.deepEqual(loadConfig(write(`limits: ${text}`)).limits.failedAttempts, {
        perAddress,
        perAccount,
        seconds: 180,
      });
    });
  }

  const forms: [what: string, text: string][] = [
    ['a mapping', 'services: {plain: null, other: {kid: thumbprint, x5c: false, token_ttl_seconds: 600}}'],
    ['a list', 'services: [plain, {name: other, kid: thumbprint, x5c: false, token_ttl_seconds: 600}]'],
  ];
  it('has one service where it has one text, whatever the text is', () => {
    for (const name of ['Docker registry', 'a, b']) {
      const { services } = loadConfig(write(`services: ${JSON.stringify(name)}`));
      assert.deepEqual(
        services.map((service) => service.name),
        [name],
      );
    }
  });

  it('may say where secrets are, and so may the environment', () => {
    const secret = join(folder, 'url');
    writeFileSync(secret, 'postgresql://cellpass:secret@db/cellpass\n');
    const url = 'postgresql://cellpass:secret@db/cellpass';
    assert.equal(loadConfig({ CELLPASS_DATABASE_URL_FILE: secret }).databaseUrl, url);
    assert.equal(loadConfig(write(`database_url_file: ${secret}`)).databaseUrl, url);
    const wrong: [environment: Record<string, string>, names: string[]][] = [
      [{ CELLPASS_DATABASE_URL_FILE: secret, CELLPASS_DATABASE_URL: url }, ['CELLPASS_DATABASE_URL_FILE']],
      [
        { ...write(`database_url: ${url}`), CELLPASS_DATABASE_URL_FILE: secret },
        ['CELLPASS_DATABASE_URL_FILE'],
      ],
      [{ CELLPASS_DATABASE_URL_FILE: join(folder, 'none') }, ['CELLPASS_DATABASE_URL_FILE']],
      [{ CELLPASS_DATABASE_URL_FILE: folder }, ['CELLPASS_DATABASE_URL_FILE']],
    ];
    for (const [environment, names] of wrong) assert.deepEqual(reported(environment), names);
    for (const content of ['', ' \n', 'mysql://secret']) {
      writeFileSync(secret, content);
      assert.deepEqual(reported({ CELLPASS_DATABASE_URL_FILE: secret }), ['CELLPASS_DATABASE_URL_FILE']);
    }
    assert.throws(
      () => loadConfig({ CELLPASS_DATABASE_URL_FILE: secret }),
      (error) => error instanceof CellpassError && !error.message.includes('secret'),
    );
  });

  for (const [what, text] of forms) {
    it(`has settings for each service, as ${what}`, () => {
      const { services } = loadConfig(write(text));
      assert.deepEqual(
        services.map(({ name, kid, x5c, tokenTtlSeconds, pushTtlSeconds }) => [
          name,
          kid,
          x5c,
          tokenTtlSeconds,
          pushTtlSeconds,
        ]),
        [
          ['plain', 'libtrust', true, 300, 300],
          ['other', 'thumbprint', false, 600, 600],
        ],
      );
    });
  }

  const wrong: [what: string, text: string, names: readonly string[]][] = [
    ['unknown settings', 'isuer: x\nkeys: {rotate: 3}', ['CELLPASS_ISUER', 'CELLPASS_KEYS.rotate']],
    ['unknown settings of a service', 'services: {a: {kidd: x}}', ['CELLPASS_SERVICES.a.kidd']],
    ['a service that is no mapping', 'services: {a: 3}', ['CELLPASS_SERVICES.a']],
    ['services that are neither', 'services: 3', ['CELLPASS_SERVICES']],
    [
      'a password that gets less time than a token, or more than a stop waits',
      'limits: {password_seconds: 1.8}',
      ['CELLPASS_LIMITS.password_seconds'],
    ],
    [
      'a time for passwords beyond that of clients',
      'limits: {password_seconds: 11}',
      ['CELLPASS_LIMITS.password_seconds'],
    ],
    ['something that is no mapping', '- issuer', ['CELLPASS_CONFIG']],
    ['something that is no YAML', 'issuer: [', ['CELLPASS_CONFIG']],
    [
      'registries that are named twice or call themselves what is no service',
      'registries: [{name: a, url: https://a.example.com}, {name: a, url: https://b.example.com, service: c}]',
      ['CELLPASS_REGISTRIES.1.name', 'CELLPASS_REGISTRIES.1.service'],
    ],
    ['a registry without a URL', 'registries: [{name: a, url: here}]', ['CELLPASS_REGISTRIES.0.url']],
    [
      'tokens that would be given again in their last minute',
      'services: {registry: {token_reuse_seconds: 241}, slow: {push_ttl_seconds: 60, token_reuse_seconds: 1}, fine: {token_reuse_seconds: 240}}',
      ['CELLPASS_SERVICES.registry.token_reuse_seconds', 'CELLPASS_SERVICES.slow.token_reuse_seconds'],
    ],
    [
      'rotations that overtake each other',
      'keys: {propagation_seconds: 86400, rotate_every_days: 1}',
      ['CELLPASS_KEYS.rotate_every_days'],
    ],
  ];
  for (const [what, text, names] of wrong) {
    it(`is refused for ${what}`, () => assert.deepEqual(new Set(reported(write(text))), new Set(names)));
  }

  it('names the registries that are asked before a key becomes active', () => {
    const text =
      'services: [one, two]\nregistries: [{name: a, url: https://a.example.com/}, {name: b, url: http://b, service: two, insecure: true, trusts: key}]';
    assert.deepEqual(loadConfig(write(text)).registries, [
      { name: 'a', url: 'https://a.example.com', service: 'one', insecure: false, trusts: null },
      { name: 'b', url: 'http://b', service: 'two', insecure: true, trusts: 'key' },
    ]);
  });

  it('may switch rotation off, whatever the other periods are', () => {
    const text = 'keys: {propagation_seconds: 86400, rotate_every_days: 0}';
    assert.equal(loadConfig(write(text)).keys.rotateEveryDays, 0);
  });

  it('reports problems with their lines, but for settings that the environment sets', () => {
    const file = write('listen: nowhere\nworkers: 0\nkeys:\n  leaf_hours: 1\nissuer: a\nissuer: b\n');
    const problemsOf = (environment: Record<string, string>) => {
      try {
        loadConfig(environment);
      } catch (error) {
        assert.ok(error instanceof CellpassError);
        return {
          message: error.message,
          lines: error.details.problems?.map(({ line, path }) => [line, path]),
        };
      }
      return assert.fail('the configuration was accepted');
    };
    assert.deepEqual(problemsOf(file).lines, [[6, 'CELLPASS_CONFIG']]);
    const { message, lines } = problemsOf({
      ...write('listen: nowhere\nworkers: 0\nkeys:\n  leaf_hours: 1\n'),
      CELLPASS_LISTEN: 'somewhere',
    });
    assert.deepEqual(lines, [
      [undefined, 'CELLPASS_LISTEN'],
      [2, 'CELLPASS_WORKERS'],
      [4, 'CELLPASS_KEYS.leaf_hours'],
    ]);
    assert.match(message, /line 2 of \S+cellpass\.yaml: CELLPASS_WORKERS: must be 1 or more, but is 0; /);
  });

  it('names the settings of a section where none is near', () => {
    assert.throws(() => loadConfig(write('keys: {rotate_days: 3}')), {
      message: /: is not a setting; use one of: propagation_seconds, rotate_every_days, leaf_hours$/,
    });
    assert.throws(() => loadConfig(write('log: info')), { message: /CELLPASS_LOG: is not a setting$/ });
  });

  it('may be empty', () => assert.equal(loadConfig(write('')).issuer, 'cellpass'));

  it('must be there', () => {
    assert.deepEqual(reported({ CELLPASS_CONFIG: join(folder, 'none.yaml') }), ['CELLPASS_CONFIG']);
  });
});
