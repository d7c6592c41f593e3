import assert from 'node:assert/strict';
import { authenticate } from '../../../../src/authn/authenticate.ts';
import { unauthorized } from '../../../../src/authn/basic.ts';
import { questionOf } from '../../../../src/authn/credential-kinds.ts';
import type { DirectorySource } from '../../../../src/authn/source.ts';
import { applyDirectory } from '../../../../src/directory/apply.ts';
import { CellpassError } from '../../../../src/errors.ts';
import { toClientAddress } from '../../../../src/http/client-address.ts';
import { decide, pathsOf } from '../../../../src/http/token/decide.ts';
import { parseScopes } from '../../../../src/policy/scope.ts';
import type { Database } from '../../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../../src/store/database/postgres.ts';
import { deriveKeys } from '../../../../src/store/source/gitlab/keys.ts';
import { createGitlabSource } from '../../../../src/store/source/gitlab/source.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import { sharedPostgres } from '../../../support/database/postgres.ts';
import { emptyDirectory } from '../../../support/directory/empty.ts';
import {
  copyToGitlab,
  createGitlab,
  type GitlabFixture,
  KnownSecrets,
} from '../../../support/gitlab/company.ts';
import { type ByRoles, openByRoles } from '../../../support/gitlab/roles.ts';
import { type Login, randomCompanies } from './random-companies.ts';

/** In one document, because one copy of it costs as much as many questions. */
const AT_ONCE = 100;
const BATCHES = 20;
const IP = '10.1.2.3';

const AUTHENTICATOR: Parameters<typeof authenticate>[0] = {
  passwords: {
    refuseIfFull: () => undefined,
    charge: () => undefined,
    inTurn: () => Promise.reject(new Error('no password is asked')),
  },
  failedAttempts: {
    refuseKnown: () => undefined,
    admitPassword: () => Promise.reject(new Error('no password is asked')),
    tokenFailed: async (_attempt, reason) => unauthorized(reason),
  },
};

/** The whole answer but ids: what is granted with its claims, or why not. */
async function answerOf(source: DirectorySource, login: Login, scopes: readonly string[]): Promise<string> {
  const asked = parseScopes(scopes);
  const credentials = login && { username: login[0], password: login[1] };
  const now = new Date();
  try {
    const answer = await source.ask(questionOf(credentials), pathsOf(asked));
    const circumstances = { now, network: IP, clientGone: () => new AbortController().signal };
    const subject = await authenticate(AUTHENTICATOR, credentials, answer.credentials, circumstances);
    const facts = await source.facts(subject, pathsOf(asked));
    const outcomes = [answer.facts, facts].map((found) => {
      const { decision, refusal } = decide({
        subject,
        asked,
        facts: found,
        now,
        clientAddress: toClientAddress(IP),
      });
      return JSON.stringify(refusal === null ? decision.access : refusal.reason);
    });
    assert.equal(outcomes[0], outcomes[1]);
    return outcomes[0] ?? '';
  } catch (error) {
    if (error instanceof CellpassError && error.code === 'unauthorized') return `401 ${error.reason}`;
    throw error;
  }
}

describe('random companies', function () {
  this.timeout(600_000);
  let own: Database;
  let gitlab: GitlabFixture;
  let roles: ByRoles;
  before(async () => {
    const postgres = await sharedPostgres();
    own = openPostgres(await postgres.createMigratedDatabase());
    gitlab = await createGitlab(await postgres.createDatabase());
    roles = await openByRoles(gitlab);
  });
  after(async () => {
    await own.close();
    await roles.close();
    await gitlab.close();
  });

  it(`${AT_ONCE * BATCHES} of them get the same answers from a GitLab's database as from cellpass's own tables`, async () => {
    const seed = Date.now() % 1_000_000;
    let [compared, granted] = [0, 0];
    for (let batch = 0; batch < BATCHES; batch++) {
      const { document, questions } = randomCompanies(AT_ONCE, seed + batch);
      const secrets = new KnownSecrets();
      secrets.learn(document);
      const passwords = { hash: async () => '', verify: async () => false };
      await emptyDirectory(own);
      await applyDirectory({ database: own, passwords, now: () => new Date() }, JSON.stringify(document), {
        prune: false,
        who: 'a test',
      });
      await copyToGitlab(own, gitlab, secrets);
      const source = createGitlabSource({
        ...{ main: roles.main, ci: null, write: roles.write, isEnterprise: true },
        ...{ keys: deriveKeys([gitlab.dbKeyBase]), log: { warn: () => undefined } },
        now: () => new Date(),
        monotonicMs: () => performance.now(),
      });
      const ours = createOwnSource(own);
      for (const { login, scopes } of questions) {
        const [expected, actual] = await Promise.all([
          answerOf(ours, login, scopes),
          answerOf(source, login, scopes),
        ]);
        assert.equal(
          actual,
          expected,
          `seed ${seed}, batch ${batch}: ${login?.[0] ?? 'anonymous'} asks ${scopes.join(' ')}`,
        );
        compared += 1;
        if (expected.startsWith('[{')) granted += 1;
      }
    }
    assert.ok(compared > AT_ONCE * BATCHES * 5, `${compared} answers`);
    assert.ok(granted > compared / 10, `${granted} of ${compared} were granted`);
  });
});
