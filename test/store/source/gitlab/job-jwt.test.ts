import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { SignJWT } from 'jose';
import { Secret } from '../../../../src/authn/secret.ts';
import { jobTokenForm } from '../../../../src/store/source/gitlab/job-token.ts';
import { deriveKeys } from '../../../../src/store/source/gitlab/keys.ts';
import { createGitlabSource } from '../../../../src/store/source/gitlab/source.ts';
import { sealJobKey } from '../../../support/gitlab/company.ts';
import { openByRoles } from '../../../support/gitlab/roles.ts';
import { type GitlabTestServer, startGitlabServer } from '../../../support/gitlab/server.ts';

const seconds = (): number => Math.floor(Date.now() / 1000);
const claimsNow = () => ({
  sub: 'gid://gitlab/Ci::Build/7',
  aud: 'gitlab-authz-token',
  iss: 'gitlab.example.com',
  iat: seconds(),
  nbf: seconds() - 5,
  exp: seconds() + 3600,
});

async function jobJwt(
  key: KeyObject,
  claims: Readonly<Record<string, unknown>> = {},
  alg = 'RS256',
): Promise<string> {
  const signed = await new SignJWT({ ...claimsNow(), ...claims })
    .setProtectedHeader({ alg, kid: 'x' })
    .sign(key);
  return `glcbt-${signed}`;
}

describe('the form of a job token', () => {
  const FORMS: readonly (readonly [secret: string, form: object | null])[] = [
    ['glcbt-64_cccccccccccccccccccc', { kind: 'stored', partition: 100 }],
    ['glcbt-1_x', { kind: 'stored', partition: 1 }],
    ['acme-glcbt-65_cccc', { kind: 'stored', partition: 101 }],
    ['glcbt-ofanolderform', { kind: 'stored', partition: null }],
    ['glcbt-aa.bb.cc', { kind: 'jwt', jwt: 'aa.bb.cc' }],
    ['acme-glcbt-aa.bb.cc', { kind: 'jwt', jwt: 'aa.bb.cc' }],
    ['glcbt-', null],
    ['glpat-64_cccc', null],
    ['xglcbt-64_cccc', null],
    ['', null],
    [`glcbt-64_${'c'.repeat(9000)}`, null],
  ];
  for (const [secret, form] of FORMS) {
    it(`${secret.slice(0, 40)}: ${JSON.stringify(form)}`, () => {
      assert.deepEqual(jobTokenForm(secret), form);
    });
  }
});

for (const hasOwnCi of [false, true]) {
  describe(`job tokens that are JWTs${hasOwnCi ? ', where CI has a database of its own' : ''}`, () => {
    let server: GitlabTestServer;
    let key: KeyObject;
    before(async () => {
      server = await startGitlabServer({ hasOwnCi });
      await server.apply({
        users: [
          { username: 'dev', id: 1 },
          { username: 'other', id: 2 },
        ],
        groups: [{ path: 'acme' }],
        projects: [{ path: 'acme/app', id: 100, members: [{ user: 'dev', role: 'developer' }] }],
        job_tokens: [{ id: 7, project: 'acme/app', user: 'dev', token: 'glcbt-64_exampleexample' }],
      });
      assert.ok(server.gitlab.jobKey);
      key = server.gitlab.jobKey;
    });
    after(() => server.close());
    afterEach(() => server.copy());

    const outcome = async (secret: string): Promise<string> => {
      const answer = await server.ask({
        as: ['gitlab-ci-token', secret],
        scope: 'repository:acme/app:pull,push',
      });
      const line = server.log.findLast((one) => one['request_id'] === answer.headers['x-request-id']);
      return answer.status === 200 ? 'granted' : `${answer.status} ${line?.['reason']}`;
    };

    it('find their job', async () => {
      assert.equal(await outcome(await jobJwt(key)), 'granted');
    });

    it("live no longer than the job's token", async () => {
      const secret = await jobJwt(key, { exp: seconds() + 100 });
      const answer = await server.ask({ as: ['gitlab-ci-token', secret], scope: 'repository:acme/app:pull' });
      assert.ok(answer.body.expires_in <= 100, answer.body.expires_in);
    });

    const REFUSED: readonly (readonly [
      what: string,
      claims: () => Readonly<Record<string, unknown>>,
      reason: string,
    ])[] = [
      ['expired', () => ({ exp: seconds() - 60 }), '401 job_token_expired'],
      ['for another audience', () => ({ aud: 'something-else' }), '401 unknown'],
      ['of another kind of subject', () => ({ sub: 'gid://gitlab/User/7' }), '401 unknown'],
      ['of a job that is not there', () => ({ sub: 'gid://gitlab/Ci::Build/8' }), '401 unknown'],
      ['not valid yet', () => ({ nbf: seconds() + 600 }), '401 unknown'],
      ['without an end', () => ({ exp: undefined }), '401 unknown'],
      ['for two users', () => ({ scoped_user_id: 2 }), '401 composite_identity'],
    ];
    for (const [what, claims, reason] of REFUSED) {
      it(`are refused when they are ${what}: ${reason}`, async () => {
        assert.equal(await outcome(await jobJwt(key, claims())), reason);
      });
    }

    it('are refused when another key signed them, or none', async () => {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      assert.equal(await outcome(await jobJwt(privateKey)), '401 unknown');
      const [head = '', body = ''] = (await jobJwt(key)).slice(6).split('.');
      const none = Buffer.from(JSON.stringify({ alg: 'none' })).toString('base64url');
      for (const forged of [`${none}.${body}.`, `${none}.${body}.x`, `${head}.${body}.AAAA`])
        assert.equal(await outcome(`glcbt-${forged}`), '401 unknown');
    });

    it('end with their job', async () => {
      const secret = await jobJwt(key);
      await (server.gitlab.ci ?? server.gitlab.main).execute("UPDATE p_ci_builds SET status = 'success'");
      assert.equal(await outcome(secret), '401 job_not_running');
    });

    it('are taken by the next key when GitLab changes it, without a restart', async () => {
      let ms = 0;
      const { main: owner, dbKeyBase } = server.gitlab;
      const { main, ci, close } = await openByRoles(server.gitlab);
      const source = createGitlabSource({
        ...{
          main,
          ci,
          write: null,
          isEnterprise: false,
          keys: deriveKeys([dbKeyBase]),
          log: { warn: () => undefined },
        },
        now: () => new Date(),
        monotonicMs: () => ms,
      });
      const isKnown = async (secret: string): Promise<boolean> => {
        const question = { secret: new Secret(secret), username: 'gitlab-ci-token', kinds: ['job'] } as const;
        return (await source.ask(question, ['acme/app'])).credentials.job !== null;
      };
      const next = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
      assert.deepEqual([await isKnown(await jobJwt(key)), await isKnown(await jobJwt(next))], [true, false]);
      const { value, iv } = sealJobKey(next, dbKeyBase);
      await owner.execute(
        `UPDATE application_settings SET encrypted_ci_job_token_signing_key = '${value}', encrypted_ci_job_token_signing_key_iv = '${iv}'`,
      );
      // Strangers can't make it look for the key at once.
      assert.equal(await isKnown(await jobJwt(next)), false);
      ms += 11_000;
      assert.deepEqual([await isKnown(await jobJwt(next)), await isKnown(await jobJwt(key))], [true, false]);
      await close();
    });
  });
}
