import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { decodeJwt } from 'jose';
import request from 'supertest';
import { loadConfig } from '../../../../src/config/load.ts';
import type { ComparisonReportView, Explanation } from '../../../../src/http/types.ts';
import { contentOf } from '../../../support/gitlab/company.ts';
import { until } from '../../../support/processes/child.ts';
import { type BesideRails, startBesideRails } from '../../../support/rails/beside.ts';
import { json, type RawAnswer, railsToken } from '../../../support/rails/stand-in.ts';

const DEV = 'glpat-example-dev-0000001';
const ENDING = 'glpat-example-ending-00001';
const GRANULAR = 'glpat-example-fine-000001';
const DEPLOY = 'gldt-example-puller-0001';
const JOB = 'glcbt-64_exampleexampleexample';
const PASSWORD = 'correct horse battery';
const tomorrow = (): string => new Date(Date.now() + 86_400_000).toISOString().slice(0, 10);
const DIRECTORY = {
  users: [{ username: 'dev', id: 1, password: PASSWORD }],
  groups: [{ path: 'acme', id: 10 }],
  projects: [
    { path: 'acme/app', id: 100, members: [{ user: 'dev', role: 'developer' }] },
    { path: 'acme/open', id: 101, visibility: 'public' },
  ],
  access_tokens: [
    { kind: 'personal', name: 'dev', user: 'dev', scopes: ['api'], token: DEV },
    { kind: 'personal', name: 'fine', user: 'dev', scopes: ['api'], token: GRANULAR },
    { kind: 'personal', name: 'ending', user: 'dev', scopes: ['api'], token: ENDING, expires_at: tomorrow() },
  ],
  deploy_tokens: [{ username: 'puller', projects: ['acme/app'], scopes: ['read_registry'], token: DEPLOY }],
  job_tokens: [{ id: 7, project: 'acme/app', user: 'dev', token: JOB }],
};
const SCOPE = 'repository:acme/app:pull,push';
type Login = readonly [username: string, password: string];
const dev: Login = ['x', DEV];

type Claims = Record<string, unknown> & {
  readonly access: readonly Record<string, unknown>[];
  readonly exp: number;
};

/** Changes the claims of a token of Rails. */
const claimsOf =
  (change: (claims: Claims) => object) =>
  (answer: RawAnswer): RawAnswer => {
    if (answer.status !== 200) return answer;
    return railsToken(change(decodeJwt(JSON.parse(String(answer.body)).token)));
  };

/** Of two cells, of which the first is the legacy one. */
function cellsFile(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'cellpass-cells-')), 'cells.yaml');
  const cells = [
    { id: 1, legacy: true, url: 'http://127.0.0.1:9', namespaces: ['one'] },
    { id: 2, url: 'http://127.0.0.1:10', namespaces: ['acme'] },
  ];
  writeFileSync(path, JSON.stringify({ cells }));
  return path;
}

describe('comparing with GitLab Rails', () => {
  let beside: BesideRails;
  before(async function () {
    this.timeout(60_000);
    beside = await startBesideRails({
      environment: { CELLPASS_GITLAB_MODE: 'observe' },
      limits: { failedAttempts: { perAddress: 3, perAccount: 3, seconds: 180 } },
    });
    await beside.server.apply(DIRECTORY);
    await beside.server.gitlab.main.execute(
      "UPDATE personal_access_tokens SET granular = true WHERE name = 'fine'; INSERT INTO container_repositories (project_id, name, created_at, updated_at) VALUES (100, '', now(), now())",
    );
  });
  after(() => beside.close());
  beforeEach(async () => {
    beside.setRules({ mode: 'observe', comparePercent: 0, expectedDifferences: [] });
    beside.rails.behave(beside.likeRails());
    beside.rails.forget();
    await beside.server.database.query('TRUNCATE comparison_counts, comparison_differences');
  });

  const ask = (as: Login | null, scope: string | readonly string[] = SCOPE) =>
    beside.server.ask({ scope, ...(as && { as }) });

  /** When as many requests as these were compared. */
  async function report(count: number): Promise<ComparisonReportView> {
    let last: ComparisonReportView | undefined;
    return until(
      async () => {
        const { body } = await request(beside.server.admin).get('/admin/v1/gitlab/differences');
        last = body;
        const { equal, differing, expected, unanswered, dropped } = body;
        return equal + differing + expected + unanswered + dropped >= count ? body : undefined;
      },
      () => `not in time: ${JSON.stringify(last)}`,
    );
  }

  describe('observing', () => {
    const EQUAL: readonly (readonly [what: string, as: Login | null, scope: string])[] = [
      ['a token', dev, SCOPE],
      ['a token that ends', ['x', ENDING], SCOPE],
      ['a deploy token', ['puller', DEPLOY], SCOPE],
      ['a job', ['gitlab-ci-token', JOB], SCOPE],
      ['a password', ['dev', PASSWORD], SCOPE],
      ['nobody, for a public project', null, 'repository:acme/open:pull'],
      ['nobody, for a private project', null, SCOPE],
      ['a wrong password', ['dev', 'wrong'], SCOPE],
      ['a project that is not there', dev, 'repository:acme/none:pull'],
    ];
    for (const [what, as, scope] of EQUAL) {
      it(`gives the answer of Rails, and finds its own equal, for ${what}`, async () => {
        let given: RawAnswer | undefined;
        beside.rails.behave(
          beside.likeRails((answer) => {
            given = answer;
            return answer;
          }),
        );
        const answer = await ask(as, scope);
        assert.deepEqual([answer.status, answer.text], [given?.status, String(given?.body)]);
        assert.equal(answer.headers['cellpass-answered-by'], 'rails');
        const { compared, equal, groups } = await report(1);
        assert.deepEqual({ compared, equal, groups }, { compared: 1, equal: 1, groups: [] });
      });
    }

    it('passes a POST on, and compares the GET that follows', async () => {
      const form = {
        grant_type: 'password',
        username: 'dev',
        password: PASSWORD,
        service: 'container_registry',
        scope: SCOPE,
      };
      const posted = await request(beside.server.app).post('/jwt/auth').type('form').send(form);
      assert.deepEqual([posted.status, posted.text], [404, '']);
      assert.equal((await ask(['dev', PASSWORD])).status, 200);
      const { compared, unanswered } = await report(1);
      assert.deepEqual([compared, unanswered], [1, 0]);
      assert.deepEqual(
        beside.rails.seen.map(({ method }) => method),
        ['POST', 'GET'],
      );
    });

    it('counts no attempt, and writes nothing to GitLab', async () => {
      const before = await contentOf(beside.server.gitlab.main);
      for (let n = 0; n < 8; n++) assert.equal((await ask(['dev', `guess ${n}`])).status, 401);
      assert.equal((await ask(['dev', PASSWORD])).status, 200);
      assert.equal((await report(9)).differing, 0);
      // Rails would list this image, but this one does not.
      beside.rails.behave(() => railsToken({ access: [], exp: 1 }));
      await ask(dev, 'repository:acme/app/new:push');
      assert.equal((await report(10)).differing, 1);
      assert.deepEqual(await contentOf(beside.server.gitlab.main), before);
      const [row] = await beside.server.database.query<{ count: number }>(
        'SELECT count(*)::int AS count FROM failed_attempts',
      );
      assert.equal(row?.count, 0);
    });

    const CHANGES: readonly (readonly [
      what: string,
      change: (answer: RawAnswer) => RawAnswer,
      rule: string,
    ])[] = [
      ['the status', () => json(403, { errors: [] }), 'developer_push'],
      [
        'the actions',
        claimsOf((claims) => ({ ...claims, access: [{ ...claims.access[0], actions: ['pull'] }] })),
        'developer_push',
      ],
      ['an entry', claimsOf((claims) => ({ ...claims, access: [] })), 'member'],
      [
        'the meta',
        claimsOf((claims) => ({ ...claims, access: [{ ...claims.access[0], meta: { project_id: 5 } }] })),
        'meta',
      ],
      ['auth_type', claimsOf((claims) => ({ ...claims, auth_type: 'other' })), 'auth_type'],
      ['aud', claimsOf((claims) => ({ ...claims, aud: 'other' })), 'aud'],
      ['sub', claimsOf((claims) => ({ ...claims, sub: 'other' })), 'sub'],
      ['exp', claimsOf((claims) => ({ ...claims, exp: claims.exp + 60 })), 'exp'],
    ];
    for (const [what, change, rule] of CHANGES) {
      it(`finds a difference in ${what}, which explain shows side by side`, async () => {
        beside.rails.behave(beside.likeRails(change));
        await ask(dev);
        await ask(dev);
        const { differing, equal, groups } = await report(2);
        assert.deepEqual([differing, equal], [2, 0]);
        const [group] = groups;
        assert.equal(groups.length, 1);
        assert.equal(group?.count, 2);
        assert.equal(group?.credential, 'access_token');
        if (['exp', 'sub', 'aud', 'auth_type', 'meta'].includes(rule)) assert.equal(group?.rule, rule);
        const { body } = await request(beside.server.admin).get(`/admin/v1/refusals/${group?.request_id}`);
        const { comparison, scopes } = body as Explanation;
        assert.equal(comparison?.rule, group?.rule);
        assert.equal(comparison?.cellpass.status, 200);
        assert.deepEqual(comparison?.cellpass.access, ['repository:acme/app:pull,push']);
        assert.equal(scopes[0]?.actions.length, 2);
      });
    }

    it('ignores what may differ', async () => {
      beside.rails.behave(
        beside.likeRails(
          claimsOf((claims) => ({
            ...{ ...claims, iss: 'gitlab-issuer', jti: 'other', iat: 1, nbf: 1, cell: undefined },
            exp: claims.exp + 1,
            access: [...claims.access].reverse(),
            later: true,
          })),
        ),
      );
      await ask(dev, [SCOPE, 'repository:acme/open:pull']);
      const { equal, differing } = await report(1);
      assert.deepEqual([equal, differing], [1, 0]);
    });

    it('names the action, both answers and the rule', async () => {
      beside.rails.behave(
        beside.likeRails(
          claimsOf((claims) => ({ ...claims, access: [{ ...claims.access[0], actions: ['pull'] }] })),
        ),
      );
      await ask(dev);
      const [group] = (await report(1)).groups;
      assert.deepEqual(
        { action: group?.action, rails: group?.rails, cellpass: group?.cellpass },
        {
          action: 'push',
          rails: { status: 200, actions: ['pull'] },
          cellpass: { status: 200, actions: ['pull', 'push'] },
        },
      );
    });

    it('says why it refuses what Rails allows', async () => {
      beside.rails.behave(() => railsToken({ access: [], exp: 1 }));
      await ask(['x', 'glpat-unknown-0000000001']);
      const [group] = (await report(1)).groups;
      assert.deepEqual(
        [group?.credential, group?.rule, group?.rails.status, group?.cellpass.status],
        ['access_token', 'unknown', 200, 401],
      );
      const { body } = await request(beside.server.admin).get(`/admin/v1/refusals/${group?.request_id}`);
      assert.equal(body.refusal.reason, 'unknown');
      assert.equal(body.comparison.rails.status, 200);
    });

    it('counts apart what is expected', async () => {
      beside.rails.behave(beside.likeRails(claimsOf((claims) => ({ ...claims, sub: 'other' }))));
      beside.setRules({ expectedDifferences: [{ rule: 'sub', credential: 'access_token' }] });
      await ask(dev);
      await ask(['gitlab-ci-token', JOB]);
      const { expected, differing, groups } = await report(2);
      assert.deepEqual([expected, differing, groups.map(({ credential }) => credential)], [1, 1, ['job']]);
    });

    it('hides nothing behind what is expected', async () => {
      beside.setRules({ expectedDifferences: [{ rule: 'sub', credential: 'access_token' }] });
      for (const change of [{ access: [] }, { auth_type: 'x' }, { aud: 'x' }]) {
        beside.rails.behave(beside.likeRails(claimsOf((claims) => ({ ...claims, sub: 'x', ...change }))));
        await ask(dev);
      }
      const { expected, differing } = await report(3);
      assert.deepEqual([expected, differing], [0, 3]);
    });

    it('keeps its records, whatever text a client sends', async () => {
      beside.rails.behave(() => railsToken({ access: [], exp: 1 }));
      for (const odd of ['\u{1f600}y', '\0y', 'y']) {
        for (const length of [298, 299, 300]) {
          await ask(null, ['repository:acme/open:pull', `${'x'.repeat(length)}${odd}`]);
        }
      }
      const { differing, groups } = await report(9);
      assert.deepEqual([differing, groups.reduce((total, { count }) => total + count, 0)], [9, 9]);
    });

    const UNANSWERED: readonly (readonly [what: string, answer: RawAnswer | 'reset', as?: Login])[] = [
      ['a failure of Rails', { status: 500, body: '<html>' }],
      ['a redirect', { status: 302, headers: { Location: '/' } }],
      ['a page', { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>' }],
      [
        'a ban, which is no answer of the endpoint',
        { status: 403, headers: { 'Content-Type': 'text/plain' }, body: 'Forbidden' },
      ],
      ['no answer', 'reset'],
      ['what cellpass does not judge', json(200, {}), ['x', GRANULAR]],
    ];
    for (const [what, given, as = dev] of UNANSWERED) {
      it(`takes ${what} for unanswered`, async () => {
        if (as === dev) beside.rails.behave(() => given);
        await ask(as);
        const { unanswered, compared } = await report(1);
        assert.deepEqual([unanswered, compared], [1, 0]);
      });
    }

    it('never waits for itself, and bounds what it does at once', async () => {
      const lock = await beside.server.gitlab.main.transaction(async (sql) => {
        await sql.query('LOCK TABLE personal_access_tokens IN ACCESS EXCLUSIVE MODE');
        beside.rails.behave(() => railsToken({ access: [], exp: 1 }));
        const startedAt = performance.now();
        const answers = await Promise.all(Array.from({ length: 80 }, () => ask(dev)));
        assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]));
        return performance.now() - startedAt;
      });
      // A comparison gives up after five seconds, so an answer that waited for it took that long.
      assert.ok(lock < 4900, `${lock} ms`);
      const { dropped, unanswered, differing } = await report(80);
      assert.equal(dropped, 80 - 64);
      assert.equal(unanswered + differing, 64);
    });

    it('keeps no credentials and no token of Rails', async () => {
      beside.rails.behave(
        beside.likeRails(claimsOf((claims) => ({ ...claims, sub: 'other', secret_claim: 'canary-claim' }))),
      );
      for (const as of [
        dev,
        ['dev', PASSWORD],
        ['dev', 'canary-password'],
        ['gitlab-ci-token', JOB],
      ] as const)
        await ask(as);
      await report(4);
      const kept = [
        JSON.stringify(beside.server.log),
        ...(
          await beside.server.database.query<{ text: string }>(
            'SELECT record::text AS text FROM comparison_differences',
          )
        ).map(({ text }) => text),
      ].join();
      for (const secret of [DEV, PASSWORD, JOB, 'canary-password', 'canary-claim', 'c2lnbmF0dXJl', 'eyJ'])
        assert.ok(!kept.includes(secret), secret);
    });
  });

  describe('serving', () => {
    beforeEach(() => beside.setRules({ mode: 'serve' }));

    it('asks Rails about a part of the answers, behind them', async () => {
      beside.setRules({ comparePercent: 100 });
      const answer = await ask(dev);
      assert.ok((await beside.server.verify(answer.body.token)).access.length > 0);
      const { equal } = await report(1);
      assert.equal(equal, 1);
      assert.equal(beside.rails.seen.length, 1);
    });

    it('expects a token that it gives again to end sooner', async () => {
      const reusing = await startBesideRails({
        services: loadConfig({}).services.map((service) => ({ ...service, tokenReuseSeconds: 60 })),
      });
      try {
        await reusing.server.apply(DIRECTORY);
        reusing.setRules({ comparePercent: 100 });
        reusing.rails.behave(reusing.likeRails(claimsOf((claims) => ({ ...claims, exp: claims.exp + 30 }))));
        await reusing.server.gitlab.main.execute(
          "INSERT INTO container_repositories (project_id, name, created_at, updated_at) VALUES (100, '', now(), now())",
        );
        for (let n = 0; n < 2; n++) await reusing.server.ask({ as: dev, scope: SCOPE });
        const counts = await until(
          async () => {
            const { body } = await request(reusing.server.admin).get('/admin/v1/gitlab/differences');
            return body.compared === 2 ? body : undefined;
          },
          () => 'not compared',
        );
        // The first one is new, and so is the difference.
        assert.deepEqual([counts.differing, counts.expected], [1, 1]);
      } finally {
        await reusing.close();
      }
    });

    it('asks about none by default', async () => {
      await ask(dev);
      await turn();
      assert.equal(beside.rails.seen.length, 0);
    });

    it('never asks about wrong credentials, a POST, or what Rails has answered', async () => {
      beside.setRules({ comparePercent: 100 });
      for (let n = 0; n < 6; n++) await ask(['dev', `guess ${n}`]);
      await ask(['x', 'glpat-unknown-0000000001']);
      await request(beside.server.app)
        .post('/jwt/auth')
        .type('form')
        .send({ grant_type: 'password', username: 'x', password: DEV, service: 'container_registry' });
      assert.equal(beside.rails.seen.length, 0);
      await ask(['x', GRANULAR]);
      await ask(dev);
      const { compared } = await report(1);
      assert.equal(compared, 1);
      assert.equal(beside.rails.seen.length, 2);
    });

    it('never asks about credentials that it could not judge, because they may be guesses', async () => {
      beside.setRules({ comparePercent: 100 });
      await beside.server.gitlab.main.transaction(async (sql) => {
        await sql.query('LOCK TABLE personal_access_tokens IN ACCESS EXCLUSIVE MODE');
        assert.equal((await ask(['x', 'glpat-unknown-0000000001'])).status, 503);
      });
      const flood = await Promise.all(
        Array.from({ length: 150 }, (_, n) =>
          beside.server.ask({ scope: SCOPE, as: ['dev', `flood ${n}`], ip: `198.51.100.${n}` }),
        ),
      );
      assert.ok(flood.some(({ status }) => status === 503));
      // What is compared comes after all of them.
      assert.equal((await ask(dev)).status, 200);
      await report(1);
      assert.equal(beside.rails.seen.length, 1);
    });

    it('never shows its Rails the credentials of another cell', async () => {
      const cells = await startBesideRails({
        environment: { CELLPASS_CELL: '2', CELLPASS_CELLS_FILE: cellsFile() },
      });
      try {
        await cells.server.apply(DIRECTORY);
        cells.setRules({ comparePercent: 100 });
        const scope = 'repository:acme/open:pull';
        assert.equal((await cells.server.ask({ as: ['someone', 'of-cell-1'], scope })).status, 200);
        assert.equal((await cells.server.ask({ scope })).status, 200);
        await until(
          () => (cells.rails.seen.length > 0 ? true : undefined),
          () => 'nothing was compared',
        );
        assert.deepEqual(
          cells.rails.seen.map(({ headers }) => headers.authorization),
          [undefined],
        );
      } finally {
        await cells.close();
      }
    });

    it('leaves the connections to Rails to clients', async () => {
      beside.setRules({ comparePercent: 100 });
      const held: ((answer: RawAnswer) => void)[] = [];
      beside.rails.behave(({ target }) =>
        target.includes('dependency_proxy')
          ? railsToken({ access: [], exp: 1 })
          : new Promise<RawAnswer>((resolve) => held.push(resolve)),
      );
      for (let n = 0; n < 40; n++) await ask(dev);
      await until(
        () => (held.length === 32 ? true : undefined),
        () => `${held.length} of 32`,
      );
      const answer = await beside.server.ask({ service: 'dependency_proxy' });
      assert.equal(answer.status, 200);
      assert.equal(held.length, 32);
      beside.rails.behave(() => json(500, {}));
      for (const give of held) give(json(500, {}));
      await report(40);
    });

    it('compares its refusals, too', async () => {
      beside.setRules({ comparePercent: 100 });
      beside.rails.behave(() => railsToken({ access: [], exp: 1 }));
      const answer = await beside.server.ask({ scope: SCOPE });
      const { differing, equal } = await report(1);
      assert.equal(answer.status, 403);
      assert.deepEqual([differing, equal], [1, 0]);
    });
  });

  it('has a metric by outcome', async () => {
    const { text } = await request(beside.server.admin).get('/metrics');
    for (const outcome of ['equal', 'differing', 'expected', 'unanswered', 'dropped'])
      assert.match(text, new RegExp(`cellpass_gitlab_comparisons_total\\{outcome="${outcome}"\\} \\d+`));
  });
});
