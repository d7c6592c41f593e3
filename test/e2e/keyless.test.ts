import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { stringify } from 'yaml';
import { needs } from '../support/e2e/bench.ts';
import { type Cellpass, ISSUER, startCellpass } from '../support/e2e/cellpass.ts';
import { dockerLogin, skopeoCopier, skopeoLogin } from '../support/e2e/clients.ts';
import { writeImage } from '../support/e2e/oci-image.ts';
import { type RealProvider, startRealProvider } from '../support/e2e/oidc-provider.ts';
import { type Registry, startRegistry } from '../support/e2e/registry.ts';
import { debianTool, debianTools } from '../support/e2e/tools.ts';
import { PLATFORMS } from '../support/federation/platforms.ts';
import { type Provider, startProvider } from '../support/federation/provider.ts';
import { runToEnd, until } from '../support/processes/child.ts';

const AUDIENCE = 'https://registry.example.com';
const PLUGIN = join(import.meta.dirname, '../../examples/keyless/kubernetes/cellpass-credential-provider');
const PUBLISH = ['read_registry', 'write_registry'];

const identity = (name: string, issuer: string, claims: object) => ({
  name,
  issuer,
  account: 'release-bot',
  scopes: PUBLISH,
  claims,
});

const DIRECTORY = stringify({
  version: 1,
  users: [{ username: 'release-bot', kind: 'service_account' }],
  groups: [{ path: 'acme' }],
  projects: [{ path: 'acme/api', members: [{ user: 'release-bot', role: 'developer' }] }],
  federated_identities: [
    identity('job', 'real', { sub: 'job-1', environment: 'release' }),
    ...PLATFORMS.map(({ preset, pins }) => identity(preset, preset, pins)),
  ],
});

describe('login without a stored secret', function () {
  this.timeout(60_000);
  const binary = needs(() => debianTools('docker-registry', 'docker', 'skopeo'));
  let real: RealProvider;
  const providers = new Map<string, Provider>();
  let cellpass: Cellpass;
  let registry: Registry;
  let dir: string;
  let docker: string;
  let skopeo: string;
  before(async function () {
    this.timeout(180_000);
    docker = (await debianTool('docker'))!;
    skopeo = (await debianTool('skopeo'))!;
    dir = await mkdtemp(join(tmpdir(), 'cellpass-keyless-'));
    real = await startRealProvider(AUDIENCE, { sub: 'job-1', environment: 'release', jti: randomUUID() });
    for (const { preset } of PLATFORMS) providers.set(preset, await startProvider());
    const issuers = Object.fromEntries(
      [...providers].map(([preset, { url, caFile }]) => [preset, { preset, issuer: url, ca_file: caFile }]),
    );
    const own = { issuer: real.url, ca_file: real.ca.caFile, must_pin: ['sub'] };
    cellpass = await startCellpass({
      services: { container_registry: {} },
      directory: DIRECTORY,
      settings: { federation: { audience: AUDIENCE, issuers: { real: own, ...issuers } } },
    });
    registry = await startRegistry({
      binary: binary(),
      realm: cellpass.realm,
      service: 'container_registry',
      issuer: ISSUER,
      trust: { rootcertbundle: await (await fetch(`${cellpass.url}/.well-known/token-ca.pem`)).text() },
    });
  });
  after(async () => {
    await registry?.stop();
    await cellpass?.stop();
    await real?.close();
    for (const provider of providers.values()) await provider.close();
    if (dir !== undefined) await rm(dir, { recursive: true, force: true });
  });

  const session = (username: string, password: string) => ({
    host: registry.host,
    credentials: { username, password },
    dir,
  });
  /** Pushes a new image and pulls it; the exit codes of both. */
  const pushAndPull = async (username: string, password: string): Promise<readonly (number | null)[]> => {
    const name = randomUUID();
    const reference = `${registry.host}/acme/api/${name}:1`;
    const image = await writeImage(join(dir, name));
    const copier = skopeoCopier(skopeo);
    const pushed = await copier.push(image, reference, session(username, password));
    const pulled = await copier.pull(reference, join(dir, `${name}-pulled`), session(username, password));
    return [pushed.code, pulled.code];
  };

  it("works with the ID token of a provider of somebody else's making: login, push and pull", async () => {
    const text = await real.idToken();
    assert.equal(decodeJwt(text).aud, AUDIENCE);
    const withDocker = await dockerLogin(docker)(session('oidc', text));
    assert.equal(withDocker.code, 0, withDocker.stderr);
    const withSkopeo = await skopeoLogin(skopeo)(session('oidc', text));
    assert.equal(withSkopeo.code, 0, withSkopeo.stderr);
    assert.deepEqual(await pushAndPull('oidc', text), [0, 0]);
  });

  for (const { preset, claims, strangers } of PLATFORMS) {
    it(`works with the claims of ${preset}, and for no stranger there`, async () => {
      const { sign } = providers.get(preset)!;
      assert.deepEqual(await pushAndPull('oidc', await sign(claims)), [0, 0]);
      const [change] = Object.values(strangers);
      const refused = await dockerLogin(docker)(session('oidc', await sign({ ...claims, ...change })));
      assert.notEqual(refused.code, 0);
    });
  }

  it('lets a pod pull by what the credential provider of the kubelet answers', async () => {
    const { sign } = providers.get('kubernetes')!;
    const { claims } = PLATFORMS.find(({ preset }) => preset === 'kubernetes')!;
    const request = {
      apiVersion: 'credentialprovider.kubelet.k8s.io/v1',
      kind: 'CredentialProviderRequest',
      image: `${registry.host}/acme/api:1`,
      serviceAccountToken: await sign(claims),
    };
    const env = { PATH: process.env['PATH'] ?? '' };
    const { code, stdout, stderr } = await runToEnd(PLUGIN, [], { env, input: JSON.stringify(request) });
    assert.equal(code, 0, stderr);
    const { username, password } = JSON.parse(stdout).auth[registry.host];
    assert.deepEqual(await pushAndPull(username, password), [0, 0]);
  });

  it('lets a push outlive the ID token, by an exchange', async () => {
    const { sign } = providers.get('github')!;
    const { claims } = PLATFORMS.find(({ preset }) => preset === 'github')!;
    const text = await sign({ ...claims, jti: randomUUID(), exp: Math.floor(Date.now() / 1000) + 9 });
    const answer = await fetch(`${cellpass.url}/jwt/auth`, {
      method: 'POST',
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token_type: 'urn:ietf:params:oauth:token-type:id_token',
        subject_token: text,
      }),
    });
    assert.equal(answer.status, 200);
    const { username, access_token } = (await answer.json()) as { username: string; access_token: string };
    const isOver = async (): Promise<true | undefined> => {
      const { code } = await dockerLogin(docker)(session('oidc', text));
      return code === 0 ? undefined : true;
    };
    await until(isOver, () => 'the ID token does not end', 30_000);
    assert.deepEqual(await pushAndPull(username, access_token), [0, 0]);
  });

  it('goes on with the keys that are known while the issuer is away', async () => {
    const provider = providers.get('buildkite')!;
    const { claims } = PLATFORMS.find(({ preset }) => preset === 'buildkite')!;
    provider.isUp = false;
    assert.deepEqual(await pushAndPull('oidc', await provider.sign(claims)), [0, 0]);
    provider.isUp = true;
  });
});
