import assert from 'node:assert/strict';
import type { Bench, Find } from '../../support/e2e/bench.ts';
import { needs } from '../../support/e2e/bench.ts';
import type { Login } from '../../support/e2e/clients.ts';
import type { Registry } from '../../support/e2e/registry.ts';
import { assertDone, assertUnauthorized } from './outcome.ts';

export interface LoginSuite {
  readonly client: string;
  readonly find: Find;
  readonly login: (binary: string) => Login;
}

/** The tests of logging in that every client must pass. */
export function describeLogin(
  { client, find, login }: LoginSuite,
  bench: () => Bench,
  registry: () => Registry,
) {
  describe(`${client} login`, () => {
    const binary = needs(find);
    const logIn = (credentials: Parameters<Login>[0]['credentials']) =>
      login(binary())({ host: registry().host, dir: bench().dir, credentials });

    for (const who of ['developer', 'guest', 'reader', 'deployer', 'job'] as const) {
      it(`takes the right secret of the ${who}`, async () => {
        assertDone(await logIn(bench().people[who]));
      });
    }

    it('refuses a wrong password', async () => {
      const { username } = bench().people.developer;
      assertUnauthorized(await logIn({ username, password: 'not the password' }));
    });

    it('refuses a deploy token under another name', async () => {
      const { password } = bench().people.deployer;
      assertUnauthorized(await logIn({ username: 'somebody', password }));
    });

    it('refuses an unknown user', async () => {
      const outcome = await logIn({ username: 'nobody', password: 'not the password' });
      assertUnauthorized(outcome);
      assert.doesNotMatch(outcome.stderr, /unknown|not found|exist/i);
    });
  });
}
