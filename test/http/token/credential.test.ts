import assert from 'node:assert/strict';
import { ACME, LOGIN, type Login, REFUSED_LOGINS } from '../../support/directory/acme.ts';
import { startGitlabServer } from '../../support/gitlab/server.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

const PULL = 'repository:acme/app:pull';
const refused = (cause: string): Login => {
  const found = REFUSED_LOGINS.find(([name]) => name === cause);
  if (found === undefined) throw new Error(`no login is refused because of ${cause}`);
  return found[1];
};

const DIRECTORIES: [name: string, start: () => Promise<Started>][] = [
  ['in own tables', startTestServer],
  ['in GitLab', startGitlabServer],
];
type Started = Pick<TestServer, 'apply' | 'ask' | 'close' | 'log'>;

for (const [directory, start] of DIRECTORIES) {
  describe(`the credential in the log, with the directory ${directory}`, () => {
    let server: Started;
    before(async () => {
      server = await start();
      await server.apply(ACME);
    });
    after(() => server.close());

    const rows: [what: string, login: Login | null, status: number, credential: RegExp | null][] = [
      ['no credentials', null, 403, /^anonymous$/],
      ['a password', LOGIN.alice, 200, /^password$/],
      ['an access token', LOGIN.api, 200, /^access-1$/],
      ['a token of a bot', LOGIN.bot, 200, /^access-\d+$/],
      ['a deploy token', LOGIN.deployer, 200, /^deploy-\d+$/],
      ['a job', LOGIN.job, 200, /^job-\d+$/],
      ['a wrong password', refused('a wrong password'), 401, /^password$/],
      ['a revoked access token', refused('a revoked access token'), 401, /^access-\d+$/],
      ['an expired deploy token', refused('an expired deploy token'), 401, /^deploy-\d+$/],
      ['a job that has ended', refused('a job that has ended'), 401, /^job-\d+$/],
      ['an unknown token', refused('an unknown token'), 401, null],
      ['an unknown user', refused('an unknown user'), 401, null],
    ];
    for (const [what, login, expected, credential] of rows) {
      it(`of ${what} is ${credential?.source ?? 'missing'}`, async () => {
        const { status } = await server.ask({ scope: PULL, ...(login && { as: login }) });
        const { credential: logged } = server.log.at(-1)!;
        assert.equal(status, expected);
        if (credential === null) assert.equal(logged, undefined);
        else assert.match(String(logged), credential);
      });
    }
  });
}
