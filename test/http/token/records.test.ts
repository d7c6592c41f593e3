import assert from 'node:assert/strict';
import Koa from 'koa';
import request from 'supertest';
import { toClientAddress } from '../../../src/http/client-address.ts';
import { errorHandler } from '../../../src/http/error-handler.ts';
import { requestContext } from '../../../src/http/request-context.ts';
import type { RequestContext, RequestState } from '../../../src/http/request-state.ts';
import { type TokenEndpoint, tokenEndpoint } from '../../../src/http/token/endpoint.ts';
import { type OutcomeObserver, startOutcome, type TokenOutcome } from '../../../src/http/token/outcome.ts';
import { observeAll, tokenObservers } from '../../../src/http/token/records.ts';
import { toStoredRefusal } from '../../../src/http/token/refusal-record.ts';
import { parseScopes } from '../../../src/policy/scope.ts';
import type { Subject } from '../../../src/policy/subject.ts';
import { buildClaims } from '../../../src/token/claims.ts';

const NOW = new Date('2026-11-24T12:00:00Z');
const CLIENT = toClientAddress('192.0.2.1');
const REQUEST_ID = '00000000-0000-4000-8000-000000000001';
const SUBJECT: Subject = {
  kind: 'deploy_token',
  deployTokenId: 7,
  username: 'puller',
  tokenScopes: [],
  abilities: new Set(),
  expiresAt: null,
};
const CLAIMS = buildClaims({
  issuer: 'cellpass',
  service: 'container_registry',
  cell: 1,
  subject: SUBJECT,
  access: [],
  now: NOW,
  ttlSeconds: 300,
  validUntil: null,
  tokenId: '00000000-0000-4000-8000-000000000002',
});
/** A token with less than asked: something for each observer. */
const GRANTED_LESS: TokenOutcome = {
  ...startOutcome(),
  asked: { service: 'container_registry', scopes: parseScopes(['repository:acme/app:pull', 'nonsense']) },
  cell: { self: 1, answering: 1, forwarded: false },
  subject: SUBJECT,
  facts: { instance: { registryEnabled: true, maintenanceMode: false }, projects: [] },
  decision: { access: [], denial: null, rulings: [], validUntil: null },
  issued: { claims: CLAIMS, kid: 'KID', cell: 1, reused: false, endsEarly: false },
};

const CONTEXT: RequestContext = {
  requestId: REQUEST_ID,
  now: NOW,
  startedAtMs: 0,
  clientAddress: CLIENT,
  logFields: {},
  hasTarget: true,
  successReason: 'none',
};

/** What the observers recorded, by the place where they record it. */
function record(choose: (observers: readonly OutcomeObserver[]) => readonly OutcomeObserver[]) {
  const recorded: Record<string, unknown> = {};
  const write = (place: string, value: unknown): void => {
    recorded[place] = value;
  };
  const errors: object[] = [];
  const context: RequestContext = { ...CONTEXT, logFields: {} };
  const observers = tokenObservers({
    refusals: { add: ({ requestId }, { subject }) => write('refusal', [requestId, subject?.kind]) },
    audit: { add: ({ jti, issuedAt }) => write('issued', [jti, issuedAt]) },
    countPassedOn: () => undefined,
    countFederated: () => undefined,
    lastUse: { note: (subject, at) => write('last use', [subject.kind, at]) },
  });
  observeAll(choose(observers), { error: (fields) => void errors.push(fields) })(GRANTED_LESS, context);
  if (context.successReason !== 'none') write('metrics', context.successReason);
  if (Object.keys(context.logFields).length > 0) write('log line', context.logFields);
  return { recorded, errors };
}

describe('the observers of token requests', () => {
  const all = record((observers) => observers).recorded;

  it('record the refusal, the token, its use, the reason for the metrics, and the log line', () => {
    assert.deepEqual(all, {
      'log line': {
        cell: 1,
        service: 'container_registry',
        asked: ['repository:acme/app:pull'],
        dropped: 1,
        subject: 'puller',
        auth_type: 'deploy_token',
        credential: 'deploy-7',
        granted: [],
        kid: 'KID',
        jti: CLAIMS.jti,
      },
      metrics: 'granted_less',
      refusal: [REQUEST_ID, 'deploy_token'],
      issued: [CLAIMS.jti, NOW],
      'last use': ['deploy_token', NOW],
    });
  });

  it('record the same in another order', () => {
    assert.deepEqual(record((observers) => observers.toReversed()).recorded, all);
  });

  it('record the same when one of them is taken out, but for what that one records', () => {
    for (let index = 0; index < 5; index++) {
      const { recorded, errors } = record((observers) => observers.toSpliced(index, 1));
      assert.equal(Object.keys(recorded).length, 4);
      for (const [place, value] of Object.entries(recorded)) assert.deepEqual(value, all[place]);
      assert.deepEqual(errors, []);
    }
  });

  it('record the same when one of them throws, which is logged', () => {
    const broken = new Error('broken');
    const breaks: OutcomeObserver = () => {
      throw broken;
    };
    const { recorded, errors } = record((observers) => [breaks, ...observers]);
    assert.deepEqual([recorded, errors], [all, [{ err: broken, request_id: REQUEST_ID }]]);
  });

  it('cannot change the answer by throwing, and see the error that the client got', async () => {
    const seen: unknown[] = [];
    const observe = observeAll(
      [
        () => {
          throw new Error('broken');
        },
        ({ error }, { requestId }) => void seen.push([(error as Error).message, requestId]),
      ],
      { error: () => undefined },
    );
    const deps = { limits: { scopes: 0 }, corsOrigins: new Set() } as unknown as TokenEndpoint;
    const app = new Koa<RequestState>()
      .use(
        requestContext(
          () => CLIENT,
          () => NOW,
        ),
      )
      .use(errorHandler())
      .use(tokenEndpoint(deps, observe));
    const { status, body, headers } = await request(app.callback()).get('/jwt/auth?scope=a:b:c');
    assert.equal(status, 400);
    assert.deepEqual(seen, [[body.errors[0].message, headers['x-request-id']]]);
  });

  const texts: [what: string, scopes: readonly string[]][] = [
    ['one long text', ['x'.repeat(60_000)]],
    ['a thousand texts', Array.from({ length: 1000 }, (_, n) => `nonsense-${n}`)],
    ['long names and actions', Array.from({ length: 64 }, () => `repository:${'A/'.repeat(400)}:pull`)],
  ];
  for (const [what, scopes] of texts) {
    it(`keep a few thousand characters of a client's ${what}`, () => {
      const asked = { service: 'container_registry', scopes: parseScopes(scopes) };
      const { record: kept } = toStoredRefusal({ ...GRANTED_LESS, asked }, { ...CONTEXT }, null);
      assert.ok(JSON.stringify(kept).length < 4500, `${JSON.stringify(kept).length}`);
      const { dropped } = kept.question!.asked;
      const count = asked.scopes.dropped.length;
      const last = dropped.at(-1)?.text ?? '';
      assert.match(last, count > 10 ? new RegExp(`^… and ${count - 10} more$`) : /…$/);
    });
  }
});
