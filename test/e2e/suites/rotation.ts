import assert from 'node:assert/strict';
import { decodeProtectedHeader } from 'jose';
import { type Bench, startTrusting, type TrustOf } from '../../support/e2e/bench.ts';
import type { Registry } from '../../support/e2e/registry.ts';
import { fetchToken, RegistryApi } from '../../support/e2e/registry-api.ts';

export interface RotationSuite {
  readonly title: string;
  readonly binary: () => string;
  readonly service: string;
  readonly trust: TrustOf;
  /** Whether the registry must be given the next key, and restarted, before that key signs. */
  readonly restarts: boolean;
}

/** How a registry comes through a change of the signing key. */
export function describeRotation(bench: () => Bench, suite: RotationSuite): void {
  const { title, binary, service, trust, restarts } = suite;
  const started: Registry[] = [];
  const start = async () => {
    const registry = await startTrusting(bench().cellpass, { binary, service, trust });
    started.push(registry);
    return registry;
  };
  const newToken = () => {
    const { cellpass, people } = bench();
    return fetchToken({ realm: cellpass.realm, service, scopes: [], credentials: people.guest });
  };
  const answer = async ({ host }: Registry, token: string) =>
    (await new RegistryApi(host, token).ping()).status;

  describe(`a rotation, for a registry that trusts ${title}`, () => {
    afterEach(async () => {
      for (const registry of started.splice(0)) await registry.stop();
    });

    it(restarts ? 'needs the next key before it signs' : 'needs nothing', async () => {
      const { cellpass } = bench();
      const before = await start();
      const old = await newToken();
      assert.equal(await answer(before, old), 200);

      await cellpass.command('keys', 'stage');
      const told = restarts ? await start() : before;
      await cellpass.command('keys', 'activate', '--force');
      const next = await newToken();
      assert.notEqual(decodeProtectedHeader(next).kid, decodeProtectedHeader(old).kid);

      assert.equal(await answer(told, next), 200);
      assert.equal(await answer(told, old), 200);
      if (restarts) assert.equal(await answer(before, next), 401);
    });
  });
}
