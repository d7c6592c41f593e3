import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import { type Cellpass, ISSUER, startCellpass } from '../../support/e2e/cellpass.ts';
import { directoryOf, makePeople, type People, PRIVATE } from '../../support/e2e/directory.ts';
import { type Front, startFront } from '../../support/e2e/front.ts';
import { type OciImage, writeImage } from '../../support/e2e/oci-image.ts';
import { type Registry, startRegistry } from '../../support/e2e/registry.ts';
import { fetchToken, RegistryApi } from '../../support/e2e/registry-api.ts';
import { runToEnd } from '../../support/processes/child.ts';

const SERVICE = 'container_registry';
const START_MS = 120_000;

interface Scene {
  readonly cellpass: Cellpass;
  readonly people: People;
  readonly dir: string;
  readonly front: Front;
  readonly image: OciImage;
}

/** Starts a cellpass that probes the registry behind `front`. */
function useScene(): { scene(): Scene; serve(binary: string, rootcertbundle: string): Promise<void> } {
  let made: Scene | undefined;
  let registry: Registry | undefined;
  before(async function () {
    this.timeout(START_MS);
    const front = await startFront();
    const people = makePeople();
    const cellpass = await startCellpass({
      services: { [SERVICE]: {} },
      directory: directoryOf(people),
      settings: { registries: [{ name: 'the registry', url: front.url }], keys: { rotate_every_days: 0 } },
    });
    const dir = await mkdtemp(join(tmpdir(), 'cellpass-taking-over-'));
    made = { cellpass, people, dir, front, image: await writeImage(join(dir, 'image')) };
  });
  after(async function () {
    this.timeout(START_MS);
    await registry?.stop();
    await made?.cellpass.stop();
    await made?.front.close();
    if (made !== undefined) await rm(made.dir, { recursive: true, force: true });
  });
  return {
    scene: () => made!,
    async serve(binary, rootcertbundle) {
      const { cellpass, dir, front } = made!;
      await registry?.stop();
      registry = await startRegistry({
        binary,
        realm: cellpass.realm,
        service: SERVICE,
        issuer: ISSUER,
        trust: { rootcertbundle },
        storage: join(dir, 'storage'),
      });
      front.sendTo(`http://${registry.host}`);
    },
  };
}

async function tokenFor({ cellpass, people }: Scene, repository: string): Promise<string> {
  const scopes = [`repository:${repository}:pull,push`];
  return fetchToken({ realm: cellpass.realm, service: SERVICE, scopes, credentials: people.developer });
}

/** The token of the last push. */
async function pushAndPull(scene: Scene, name: string): Promise<string> {
  const repository = `${PRIVATE}/${name}`;
  const token = await tokenFor(scene, repository);
  const api = new RegistryApi(new URL(scene.front.url).host, token);
  await api.upload(repository, scene.image);
  assert.equal((await api.manifest(repository, scene.image)).status, 200);
  return token;
}

/** A key as GitLab Rails has it, and its self-signed certificate. */
async function railsKey(dir: string): Promise<{ pem: string; cert: string }> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const [pem, cert] = [join(dir, 'gitlab-registry.key'), join(dir, 'gitlab-registry.crt')];
  await writeFile(pem, privateKey.export({ type: 'pkcs1', format: 'pem' }));
  const args = [
    'req',
    '-x509',
    '-new',
    '-key',
    pem,
    '-subj',
    '/CN=gitlab-issuer',
    '-days',
    '30',
    '-out',
    cert,
  ];
  const { code, stderr } = await runToEnd('openssl', args);
  assert.equal(code, 0, stderr);
  return { pem, cert };
}

const readText = (file: string): Promise<string> => readFile(file, 'utf8');

export function describeTakingOver(binary: () => string): void {
  describe('taking over the key of GitLab Rails, the registry knowing its certificate alone', () => {
    const { scene, serve } = useScene();
    let rails: { pem: string; cert: string };

    it('is refused before, works with the imported key, and its tokens show that certificate', async () => {
      rails = await railsKey(scene().dir);
      await serve(binary(), await readText(rails.cert));
      await assert.rejects(pushAndPull(scene(), 'before'));
      const { cellpass } = scene();
      await cellpass.command('keys', 'import', '--pem', rails.pem, '--cert', rails.cert);
      assert.match(await cellpass.command('keys', 'probe'), /accepted/);
      // Every registry accepts the key already, so it need not wait.
      await cellpass.command('keys', 'activate');
      const { x5c } = decodeProtectedHeader(await pushAndPull(scene(), 'imported'));
      const shown = (await readText(rails.cert)).replace(/-----[A-Z ]+-----|\s/g, '');
      assert.deepEqual(x5c, [shown]);
    });

    it('says beforehand that a key of its own would be refused, and does not let it sign', async () => {
      const { cellpass } = scene();
      await cellpass.command('keys', 'stage');
      await assert.rejects(cellpass.command('keys', 'probe'), /is not accepted by the registry/);
      await assert.rejects(
        cellpass.command('keys', 'rotate'),
        /the registry: not yet: its trust doesn't contain the CA/,
      );
      await pushAndPull(scene(), 'still-imported');
    });

    it('goes on to keys of its own once the bundle holds the CA, too', async () => {
      const { cellpass } = scene();
      await serve(binary(), (await readText(rails.cert)) + (await cellpass.command('keys', 'export-ca')));
      await cellpass.command('keys', 'rotate');
      await pushAndPull(scene(), 'own');
    });
  });

  describe('taking over a key without its certificate', () => {
    const { scene, serve } = useScene();

    it('is trusted by its id: its tokens show no certificate', async () => {
      const { pem, cert } = await railsKey(scene().dir);
      await serve(binary(), await readText(cert));
      await scene().cellpass.command('keys', 'import', '--pem', pem);
      await scene().cellpass.command('keys', 'activate');
      assert.equal(decodeProtectedHeader(await pushAndPull(scene(), 'by-id')).x5c, undefined);
    });
  });

  describe('changing the CA', () => {
    const { scene, serve } = useScene();

    it('waits for the registry to have both, and then fails no push or pull', async () => {
      const { cellpass } = scene();
      await serve(binary(), await cellpass.command('keys', 'export-ca'));
      const early = await pushAndPull(scene(), 'old-ca');
      await cellpass.command('keys', 'stage-ca');
      await assert.rejects(
        cellpass.command('keys', 'activate-ca'),
        /the registry: not yet: its trust doesn't contain the CA/,
      );
      await pushAndPull(scene(), 'staged');
      await serve(binary(), await cellpass.command('keys', 'export-ca'));
      await pushAndPull(scene(), 'bundle');
      await cellpass.command('keys', 'activate-ca');
      const late = await pushAndPull(scene(), 'new-ca');
      const [before, after] = [early, late].map((token) => decodeProtectedHeader(token));
      assert.equal(before!.kid, after!.kid);
      assert.notDeepEqual(before!.x5c, after!.x5c);
      // A token with a leaf of the previous CA stays valid.
      const { status } = await fetch(`${scene().front.url}/v2/`, {
        headers: { authorization: `Bearer ${early}` },
      });
      assert.equal(status, 200);
    });
  });
}
