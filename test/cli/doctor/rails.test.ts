import assert from 'node:assert/strict';
import { checkRails } from '../../../src/cli/doctor/rails.ts';
import { type Config, loadConfig } from '../../../src/config/load.ts';
import { freePort } from '../../support/database/postgres.ts';
import {
  json,
  type RailsBehaviour,
  type RailsStandIn,
  type RawAnswer,
  railsToken,
  startRailsStandIn,
} from '../../support/rails/stand-in.ts';

describe('the check of GitLab Rails beside cellpass', () => {
  let rails: RailsStandIn;
  let registry: RailsStandIn;
  let own: RailsStandIn;
  before(async () => {
    rails = await startRailsStandIn();
    registry = await startRailsStandIn(() => ({ status: 200 }));
    own = await startRailsStandIn(() => ({ status: 403, headers: { 'X-Request-Id': 'x' } }));
  });
  after(async () => {
    for (const server of [rails, registry, own]) await server.close();
  });

  const TOKEN = railsToken({ iss: 'the-issuer', access: [], exp: 1 });
  const answers =
    (answer: RawAnswer, readiness: (headers: object) => number = () => 404): RailsBehaviour =>
    ({ target, headers }) =>
      target.startsWith('/-/readiness') ? { status: readiness(headers) } : answer;

  async function look(
    behaviour: RailsBehaviour,
    more: Readonly<Record<string, string>> = {},
    now = new Date(),
  ): Promise<ReadonlyMap<string, string>> {
    rails.behave(behaviour);
    const config: Config = {
      ...loadConfig({
        CELLPASS_GITLAB_RAILS_URL: rails.url,
        CELLPASS_ISSUER: 'the-issuer',
        CELLPASS_PUBLIC_URL: own.url,
        ...more,
      }),
      registries: [
        { name: 'main', url: registry.url, service: 'container_registry', insecure: true, trusts: null },
      ],
    };
    assert.ok(config.rails);
    const findings = await checkRails(config, config.rails, () => now);
    return new Map(findings.map(({ name, outcome, message }) => [name, `${outcome}: ${message}`]));
  }

  it('finds nothing wrong where all is well', async () => {
    const found = await look(answers(TOKEN, (headers) => ('x-forwarded-for' in headers ? 404 : 200)));
    assert.deepEqual(
      [...found.values()].filter((text) => !text.startsWith('ok')),
      [],
    );
    assert.deepEqual(
      [...found.keys()],
      [
        ...['rails', 'rails clock', 'rails issuer', 'rails client addresses'],
        ...['registry main, key of Rails', 'path /jwt/auth/', 'path //jwt/auth'],
      ],
    );
  });

  const WRONG: readonly (readonly [
    what: string,
    behaviour: RailsBehaviour,
    name: string,
    message: RegExp,
  ])[] = [
    ['it redirects', answers({ status: 302, headers: { Location: '/' } }), 'rails', /^failed: .*redirects/],
    ['it is another server', answers({ status: 404, body: 'x' }), 'rails', /^failed: .*no answer of Rails/],
    ['it fails', answers(json(502, {})), 'rails', /^failed: .*answers 502/],
    ['it breaks', () => 'reset', 'rails', /^failed: /],
    [
      'it leads to cellpass',
      answers(json(503, { errors: [{ message: 'CELLPASS_GITLAB_RAILS_URL must not' }] })),
      'rails',
      /^failed: .*leads to cellpass itself/,
    ],
    [
      'it signs as another',
      answers(railsToken({ iss: 'other', access: [], exp: 1 })),
      'rails issuer',
      /^failed: Rails signs as other/,
    ],
    ['it gives no token', answers(json(403, {})), 'rails issuer', /^warning: Rails gives/],
    [
      'it does not believe addresses',
      answers(TOKEN, () => 200),
      'rails client addresses',
      /^failed: Rails does not believe X-Forwarded-For/,
    ],
    ['it does not show', answers(TOKEN), 'rails client addresses', /^warning: .*can't be seen/],
    [
      'its clock is wrong',
      (request) => {
        const late = new Date(Date.now() - 90_000).toUTCString();
        return answers({ ...TOKEN, headers: { ...TOKEN.headers, Date: late } })(request);
      },
      'rails clock',
      /^failed: Rails' clock is (?:89|9\d)\.\d s behind/,
    ],
  ];
  for (const [what, behaviour, name, message] of WRONG) {
    it(`says that ${what}`, async () => {
      assert.match((await look(behaviour)).get(name) ?? 'nothing', message);
    });
  }

  it('says that nobody answers', async () => {
    const url = `http://127.0.0.1:${await freePort()}`;
    const found = await look(answers(TOKEN), { CELLPASS_GITLAB_RAILS_URL: url });
    assert.match(found.get('rails') ?? '', /^failed: .*ECONNREFUSED/);
    assert.equal(found.size, 1);
  });

  it('says that the registry no longer knows the key of Rails', async () => {
    registry.behave(() => ({ status: 401 }));
    const found = await look(answers(TOKEN));
    assert.match(found.get('registry main, key of Rails') ?? '', /^failed: .*rootcertbundle/);
    registry.behave(() => ({ status: 200 }));
  });

  it('says that a proxy keeps a spelling of the path for itself', async () => {
    own.behave(({ target }) =>
      target.startsWith('//')
        ? { status: 301, headers: { Location: '/' } }
        : { status: 403, headers: { 'X-Request-Id': 'x' } },
    );
    const found = await look(answers(TOKEN));
    assert.match(found.get('path //jwt/auth') ?? '', /^failed: .*answers 301/);
    assert.match(found.get('path /jwt/auth/') ?? '', /^ok/);
    own.behave(() => ({ status: 403, headers: { 'X-Request-Id': 'x' } }));
  });
});
