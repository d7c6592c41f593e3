import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { decodeProtectedHeader, type JSONWebKeySet } from 'jose';
import { type AdminApi, openAdminApi } from '../support/admin-api.ts';
import { newSecret } from '../support/directory/town.ts';
import {
  done,
  fetchJwks,
  fetchToken,
  makeSite,
  type Server,
  type Site,
  verify,
} from '../support/processes/site.ts';
import { createRandom, type Random } from '../support/random.ts';

/** `npm run chaos` repeats this for as long as it is told. */
const ROUNDS = 2;
/** The document is so large that applying it takes a while. */
const PROJECTS = 400;
const TOKEN = newSecret('glpat-');
const SCOPE = 'repository:acme/p-0:pull';

/** Two directories that differ in everything. */
const documentOf = (edition: number): string =>
  JSON.stringify({
    version: 1,
    users: [
      { username: 'alice', id: 11 },
      { username: 'bob', id: 12, state: edition === 0 ? 'active' : 'blocked' },
    ],
    groups: [
      { path: 'acme', id: 7, members: [{ user: 'alice', role: edition === 0 ? 'developer' : 'owner' }] },
    ],
    projects: Array.from({ length: PROJECTS }, (_, at) => ({
      path: `acme/p-${at}`,
      visibility: edition === 0 ? 'private' : 'internal',
      members: [{ user: 'bob', role: edition === 0 ? 'guest' : 'maintainer' }],
    })),
    access_tokens: [{ name: 'a', kind: 'personal', user: 'alice', scopes: ['api'], token: TOKEN }],
  });

interface ListedKey {
  readonly kid: string;
  readonly state: string;
}

for (const kind of ['postgresql', 'embedded'] as const) {
  describe(`kill -9 under changes on the ${kind} database`, function () {
    this.timeout(120_000);
    let site: Site;
    let server: Server;
    let api: AdminApi;
    const seed = Date.now() % 2 ** 32;
    const random = createRandom(seed);

    const start = async (): Promise<void> => {
      server = await site.serve();
      api = openAdminApi(site.socket);
    };
    /**
     * Sends a change, and kills the server before its answer or a little after. Answers the status;
     * 0 if none came.
     */
    const killUnder = async (path: string, body: string | object, atMostMs: number): Promise<number> => {
      const answer = api.send('POST', path, body);
      await delay(random.next() * atMostMs);
      server.child.signal('SIGKILL');
      await server.child.ended;
      const { status } = await answer;
      await api.close();
      await start();
      return status;
    };
    const exported = async (): Promise<string> => (await api.send('GET', '/admin/v1/directory')).body;
    const keys = async (): Promise<readonly ListedKey[]> =>
      JSON.parse((await api.send('GET', '/admin/v1/keys')).body).keys;

    before(async () => {
      site = await makeSite(kind);
      await start();
    });
    after(async () => {
      await api.close();
      await site.remove();
    });

    it(`leaves the directory as it was before or after, and after where that was said (seed ${seed})`, async () => {
      const editions: string[] = [];
      let applyMs = 0;
      for (const edition of [1, 0]) {
        const startedAt = performance.now();
        assert.equal((await api.send('POST', '/admin/v1/directory', documentOf(edition))).status, 200);
        applyMs = performance.now() - startedAt;
        editions[edition] = await exported();
      }
      let current = 0;
      for (let round = 0; round < ROUNDS; round++) {
        const next = 1 - current;
        const status = await killUnder('/admin/v1/directory', documentOf(next), applyMs * 1.2);
        const at = editions.indexOf(await exported());
        assert.notEqual(at, -1, `round ${round}: half of a directory`);
        if (status === 200) assert.equal(at, next, `round ${round}: what was applied is lost`);
        current = at;
        await verify(await fetchToken(server.url, ['alice', TOKEN], SCOPE), await fetchJwks(server.url));
      }
    });

    it(`leaves one active key, and every token that was issued in force (seed ${seed})`, async () => {
      const tokens: string[] = [await fetchToken(server.url, ['alice', TOKEN], SCOPE)];
      for (let round = 0; round < ROUNDS; round++) {
        const change = await chooseChange(random, await keys());
        const status = await killUnder(`/admin/v1/keys/${change.step}`, change.body, 400);
        const after = await keys();
        const about = `round ${round}: ${change.step}, ${status}: ${JSON.stringify(after)}`;
        assert.equal(after.filter(({ state }) => state === 'active').length, 1, about);
        if (status === 200) assert.ok(change.isDone(after), about);
        tokens.push(await fetchToken(server.url, ['alice', TOKEN], SCOPE));
        await assertInForce(tokens, after, await fetchJwks(server.url));
      }
      await done(site, 'keys', 'list');
    });
  });
}

interface KeyStep {
  readonly step: string;
  readonly body: object;
  /** Whether `keys` are as an acknowledged change leaves them. */
  readonly isDone: (keys: readonly ListedKey[]) => boolean;
}

async function chooseChange(random: Random, keys: readonly ListedKey[]): Promise<KeyStep> {
  const active = keys.find(({ state }) => state === 'active')!;
  const pending = keys.find(({ state }) => state === 'pending');
  if (pending === undefined) {
    const isDone = (after: readonly ListedKey[]): boolean => after.some(({ state }) => state === 'pending');
    return { step: 'stage', body: {}, isDone };
  }
  const hasState = (kid: string, state: string) => (after: readonly ListedKey[]) =>
    after.some((key) => key.kid === kid && key.state === state);
  return random.pick<KeyStep>([
    { step: 'rotate', body: { force: true }, isDone: hasState(pending.kid, 'active') },
    { step: 'revoke', body: { kid: active.kid, reason: 'a test' }, isDone: hasState(active.kid, 'revoked') },
    {
      step: 'revoke',
      body: { kid: pending.kid, reason: 'a test' },
      isDone: hasState(pending.kid, 'revoked'),
    },
  ]);
}

/** Checks that each token verifies, except the tokens of a revoked key, which must not. */
async function assertInForce(
  tokens: readonly string[],
  keys: readonly ListedKey[],
  jwks: JSONWebKeySet,
): Promise<void> {
  for (const token of tokens) {
    const { kid } = decodeProtectedHeader(token);
    const isRevoked = keys.some((key) => key.kid === kid && key.state === 'revoked');
    if (isRevoked) await assert.rejects(verify(token, jwks));
    else await verify(token, jwks);
  }
}
