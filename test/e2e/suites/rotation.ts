import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLocalJWKSet, decodeProtectedHeader, jwtVerify } from 'jose';
import { needs } from '../../support/e2e/bench.ts';
import { type Cellpass, ISSUER, type ServiceSettings, startCellpass } from '../../support/e2e/cellpass.ts';
import { dockerLogin, skopeoCopier } from '../../support/e2e/clients.ts';
import { directoryOf, makePeople, type People, PRIVATE } from '../../support/e2e/directory.ts';
import { type Front, startFront } from '../../support/e2e/front.ts';
import { type Load, startLoad } from '../../support/e2e/load.ts';
import { type OciImage, writeImage } from '../../support/e2e/oci-image.ts';
import { type Registry, startRegistry, type Trust } from '../../support/e2e/registry.ts';
import { fetchToken } from '../../support/e2e/registry-api.ts';
import { debianTool } from '../../support/e2e/tools.ts';

const SERVICE = 'rotating';
const START_MS = 120_000;
const RUN_MS = 240_000;

export interface RotationSuite {
  readonly title: string;
  readonly rotations: number;
  readonly binary: () => string;
  readonly settings: ServiceSettings;
  /** The certificates or JWK Set that the registry trusts. */
  readonly trust: (cellpass: Cellpass) => Promise<Trust>;
  /** Whether the registry must get them again, and be restarted, while a key is pending. */
  readonly reloads: boolean;
}

interface Scene {
  readonly replicas: readonly Cellpass[];
  readonly people: People;
  readonly dir: string;
  readonly issuers: Front;
  readonly registries: Front;
  registry: Registry;
}

/**
 * Rotates keys on two replicas behind one address, while clients log in, push and pull at a
 * registry.
 */
export function describeRotation({
  title,
  rotations,
  binary,
  settings,
  trust,
  reloads,
}: RotationSuite): void {
  describe(`${rotations} rotations in a row, ${title}`, () => {
    const docker = needs(() => debianTool('docker'));
    const skopeo = needs(() => debianTool('skopeo'));
    let scene: Scene;
    const closers: (() => Promise<void>)[] = [];

    before(async function () {
      this.timeout(START_MS);
      scene = await setScene();
    });

    after(async function () {
      this.timeout(START_MS);
      for (const close of closers.reverse()) await close();
    });

    async function setScene(): Promise<Scene> {
      const issuers = await startFront();
      const registries = await startFront();
      closers.push(
        () => issuers.close(),
        () => registries.close(),
      );
      const people = makePeople();
      const first = await startCellpass({
        services: { [SERVICE]: settings },
        directory: directoryOf(people),
        publicUrl: issuers.url,
        settings: { registries: [{ name: 'the registry', url: registries.url }] },
      });
      closers.push(() => first.stop());
      const second = await first.replica();
      closers.push(() => second.stop());
      issuers.sendTo(first.url, second.url);
      const dir = await mkdtemp(join(tmpdir(), 'cellpass-rotation-'));
      closers.push(() => rm(dir, { recursive: true, force: true }));
      const registry = await newRegistry(first, dir);
      registries.sendTo(`http://${registry.host}`);
      const made = { replicas: [first, second], people, dir, issuers, registries, registry };
      closers.push(() => made.registry.stop());
      return made;
    }

    async function newRegistry(cellpass: Cellpass, dir: string): Promise<Registry> {
      const { realm } = cellpass;
      const storage = join(dir, 'storage');
      return startRegistry({
        binary: binary(),
        realm,
        service: SERVICE,
        issuer: ISSUER,
        trust: await trust(cellpass),
        storage,
      });
    }

    /**
     * Restarts without an interruption, as an operator would: the new registry takes over, and the
     * old one stops when its last client has gone.
     */
    async function reload(cellpass: Cellpass): Promise<void> {
      const before = scene.registry;
      const next = await newRegistry(cellpass, scene.dir);
      scene.registries.sendTo(`http://${next.host}`);
      scene.registry = next;
      await scene.registries.drained(`http://${before.host}`);
      await before.stop();
    }

    async function startClients(): Promise<Load> {
      const { people, dir, registries } = scene;
      const host = new URL(registries.url).host;
      const session = { host, dir, credentials: people.developer };
      const copier = skopeoCopier(skopeo());
      const pulled: OciImage = await writeImage(join(dir, 'pulled'));
      const reference = `${host}/${PRIVATE}/pulled:1`;
      const first = await copier.push(pulled, reference, session);
      assert.equal(first.code, 0, first.stderr);
      let pushes = 0;
      let pulls = 0;
      return startLoad({
        login: () => dockerLogin(docker())(session),
        push: async () => {
          pushes += 1;
          const image = await writeImage(join(dir, `image-${pushes}`));
          return copier.push(image, `${host}/${PRIVATE}/pushed:${pushes}`, session);
        },
        pull: () => {
          pulls += 1;
          return copier.pull(reference, join(dir, `pull-${pulls}`), {
            ...session,
            credentials: people.reader,
          });
        },
      });
    }

    const newToken = ({ realm }: Cellpass): Promise<string> =>
      fetchToken({
        realm,
        service: SERVICE,
        scopes: [`repository:${PRIVATE}/pulled:pull`],
        credentials: scene.people.reader,
      });

    /**
     * Whether the registry accepts the token, and it verifies with the JWK Set of every replica.
     */
    async function assertTaken(token: string): Promise<void> {
      const { registries, replicas } = scene;
      const headers = { authorization: `Bearer ${token}` };
      const { status } = await fetch(`${registries.url}/v2/${PRIVATE}/pulled/tags/list`, { headers });
      assert.equal(status, 200);
      for (const replica of replicas) {
        await jwtVerify(token, createLocalJWKSet(JSON.parse(await replica.jwks())), { audience: SERVICE });
      }
    }

    it('fail no login, push or pull, and tokens of every generation are taken until they expire', async function () {
      this.timeout(RUN_MS);
      const load = await startClients();
      const tokens: string[] = [];
      try {
        const [first] = scene.replicas;
        await first!.command('keys', 'stage');
        tokens.push(await newToken(first!));
        for (let rotation = 0; rotation < rotations; rotation++) {
          const replica = scene.replicas[rotation % scene.replicas.length]!;
          if (reloads) await reload(replica);
          await replica.command('keys', 'rotate');
          await load.more(1);
          tokens.push(await newToken(replica));
        }
      } finally {
        await load.stop();
      }
      assert.deepEqual(load.failures, []);
      for (const token of tokens) await assertTaken(token);
      assert.equal(new Set(tokens.map((token) => decodeProtectedHeader(token).kid)).size, rotations + 1);
      if (!reloads) assert.ok(scene.registry.child.running());
      console.log(`      ${rotations} rotations, ${JSON.stringify(load.done)}, no failure`);
    });
  });
}
