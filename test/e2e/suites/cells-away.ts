import assert from 'node:assert/strict';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { dockerLogin } from '../../support/e2e/clients.ts';
import { askForToken, fetchToken, type TokenAnswer } from '../../support/e2e/registry-api.ts';
import { type Cell, type CellId, GROUP, SERVICE, type TwoCells } from '../../support/e2e/two-cells.ts';
import { until } from '../../support/processes/child.ts';
import type { Clients } from './cells.ts';
import { assertDone } from './outcome.ts';

/** The server of cell 2 that is away, and how. */
type Part = 'issuer' | 'registry';

interface Way {
  readonly title: string;
  leave(cell: Cell, part: Part): Promise<void>;
  comeBack(cell: Cell, part: Part): Promise<void>;
}

const WAYS: readonly Way[] = [
  {
    title: 'has ended',
    leave: (cell, part) => (part === 'issuer' ? cell.cellpass.halt() : cell.haltRegistry()),
    comeBack: (cell, part) => (part === 'issuer' ? cell.cellpass.resume() : cell.resumeRegistry()),
  },
  {
    // The server accepts connections and never answers.
    title: 'is silent',
    leave: async (cell, part) => childOf(cell, part).signal('SIGSTOP'),
    comeBack: async (cell, part) => childOf(cell, part).signal('SIGCONT'),
  },
];

const PARTS: readonly (readonly [title: string, parts: readonly Part[]])[] = [
  ['issuer', ['issuer']],
  ['registry', ['registry']],
  ['issuer and registry', ['issuer', 'registry']],
];

const LONGEST_MS = 4000;
const HEALED_MS = 10_000;

/**
 * While cell 2 is away, cell 1 works as before, and requests for cell 2 soon get a 503 that says to
 * retry.
 */
export function describeAwayCell(scene: () => TwoCells, clients: () => Clients): void {
  describe('cell 2 away', () => {
    for (const { title: how, leave, comeBack } of WAYS) {
      for (const [what, parts] of PARTS) {
        it(`its ${what} ${how}: cell 1 goes on, cell 2 is 503 in time, and it heals`, async () => {
          const tokens = { 1: await newToken(1), 2: await newToken(2) };
          const cell = scene().cells[2];
          for (const part of parts) await leave(cell, part);
          try {
            // Ask at once, and again after the router has noticed.
            for (let round = 0; round < 2; round++) {
              await Promise.all([
                assertGoesOn(tokens[1]),
                ...(parts.includes('issuer')
                  ? [assertNoTokens(scene().realm), assertNoTokens(issuerOf(1))]
                  : []),
                ...(parts.includes('registry') ? [assertNoImages(tokens[2])] : []),
              ]);
            }
          } finally {
            for (const part of parts) await comeBack(cell, part);
          }
          await assertHealed(tokens[2]);
        });
      }
    }
  });

  const issuerOf = (id: CellId): string => `${scene().cells[id].cellpass.url}/jwt/auth`;
  const requestFor = (id: CellId, realm: string) => ({
    realm,
    service: SERVICE,
    scopes: [`repository:${GROUP[id]}/app:pull,push`],
    credentials: scene().visitors.tokenOf[id],
  });
  const newToken = (id: CellId): Promise<string> => fetchToken(requestFor(id, scene().realm));

  async function assertGoesOn(token: string): Promise<void> {
    const { host, dir, visitors } = scene();
    const login = dockerLogin(clients().docker)({ host, dir, credentials: visitors.password });
    // Send several, because the router sends each to the next issuer.
    const tokens = Array.from({ length: 6 }, () => askForToken(requestFor(1, scene().realm)));
    for (const { status, body } of await Promise.all(tokens)) assert.equal(status, 200, body);
    assert.equal((await tagsOf(1, token)).status, 404);
    assertDone(await login);
  }

  async function assertNoTokens(realm: string): Promise<void> {
    assertAway(await askForToken(requestFor(2, realm)));
  }

  async function assertNoImages(token: string): Promise<void> {
    assertAway(await tagsOf(2, token));
  }

  async function assertHealed(token: string): Promise<void> {
    let last: TokenAnswer | undefined;
    const asked = [
      () => askForToken(requestFor(2, scene().realm)),
      () => askForToken(requestFor(2, issuerOf(1))),
    ];
    for (const ask of [...asked, () => tagsOf(2, token)]) {
      await until(
        async () => {
          last = await ask();
          return last.status === 503 ? undefined : true;
        },
        () => `still ${last?.status}: ${last?.body}`,
        HEALED_MS,
      );
    }
    assert.equal(last?.status, 404, last?.body);
  }

  /** Asks for an empty repository, so a 404 comes from the registry itself. */
  const tagsOf = (id: CellId, token: string): Promise<TokenAnswer> =>
    askAnew(`http://${scene().host}/v2/${GROUP[id]}/app/tags/list`, token);
}

/**
 * Uses a new connection: on a keep-alive connection HAProxy closes instead of answering 503 when it
 * loses the server, and the client retries.
 */
function askAnew(url: string, token: string): Promise<TokenAnswer> {
  const begun = performance.now();
  return new Promise((resolve, reject) => {
    const asked = get(
      url,
      { agent: false, headers: { authorization: `Bearer ${token}` } },
      async (response) => {
        const headers = new Headers();
        for (const [name, value] of Object.entries(response.headers)) headers.set(name, String(value));
        const body = await text(response);
        resolve({ status: response.statusCode ?? 0, headers, body, tookMs: performance.now() - begun });
      },
    );
    asked.on('error', reject);
  });
}

function childOf({ cellpass, registry }: Cell, part: Part): Cell['registry']['child'] {
  return part === 'issuer' ? cellpass.child : registry.child;
}

function assertAway({ status, headers, body, tookMs }: TokenAnswer): void {
  assert.equal(status, 503, body);
  assert.ok(tookMs < LONGEST_MS, `answered after ${Math.round(tookMs)} ms`);
  assert.match(headers.get('content-type') ?? '', /^application\/json\b/);
  assert.match(headers.get('retry-after') ?? '', /^[1-9][0-9]*$/);
  const { errors }: { errors: { code: string; message: string }[] } = JSON.parse(body);
  assert.equal(errors[0]?.code, 'UNAVAILABLE');
}
