import assert from 'node:assert/strict';
import { firstMismatch } from '../../../src/authn/federation/claims.ts';
import { missingPins } from '../../../src/config/federated-claims.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { createMemoryIssuer } from '../../support/federation/issuer.ts';
import { PLATFORMS } from '../../support/federation/platforms.ts';
import { writeFederation } from '../../support/federation/settings.ts';
import { startTestServer } from '../../support/server.ts';

const PULL = 'repository:acme/api:pull';
/** The issuer of each platform, or an example of it where each instance has its own. */
const ISSUERS: Readonly<Record<string, string>> = {
  github: 'https://token.actions.githubusercontent.com',
  gitlab: 'https://gitlab.example.com',
  kubernetes: 'https://kubernetes.default.svc.cluster.local',
  buildkite: 'https://agent.buildkite.com',
  circleci: 'https://oidc.circleci.com/org/5f0c3b1e-2f0c-4f0e-9d52-0a8f5a3c6a11',
};

describe('the ID tokens of platforms', () => {
  for (const { preset, claims, pins, strangers } of PLATFORMS) {
    describe(preset, () => {
      it('are matched by every claim that an identity pins, and by no token of others', () => {
        assert.equal(firstMismatch(pins, claims), null);
        for (const [whose, change] of Object.entries(strangers))
          assert.notEqual(firstMismatch(pins, { ...claims, ...change }), null, whose);
      });

      it('let their job in, and nobody else', async () => {
        const issuer = await createMemoryIssuer({ settings: { issuer: ISSUERS[preset]! } });
        const federation = { issuers: { ci: { preset, issuer: ISSUERS[preset] } } };
        const file = writeFederation([], { federation });
        const { mustPin } = loadConfig(file.environment).federation!.issuers[0]!;
        assert.deepEqual(missingPins(pins, mustPin), []);
        const server = await startTestServer({
          environment: file.environment,
          fetchKeys: (entry) => issuer.fetchKeys(entry),
        });
        await server.apply({
          users: [{ username: 'bot', kind: 'service_account' }],
          groups: [{ path: 'acme' }],
          projects: [{ path: 'acme/api', members: [{ user: 'bot', role: 'reporter' }] }],
          federated_identities: [
            { name: 'one', issuer: 'ci', account: 'bot', scopes: ['read_registry'], claims: pins },
          ],
        });
        const ask = async (more: object): Promise<number> => {
          const text = await issuer.sign({ ...claims, ...more });
          return (await server.ask({ as: ['oidc', text], scope: PULL })).status;
        };
        assert.equal(await ask({}), 200);
        for (const [whose, change] of Object.entries(strangers)) assert.equal(await ask(change), 401, whose);
        await server.close();
        file.remove();
      });
    });
  }
});
