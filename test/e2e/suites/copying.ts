import assert from 'node:assert/strict';
import type { Bench, Find } from '../../support/e2e/bench.ts';
import { needs } from '../../support/e2e/bench.ts';
import type { Copier, Session } from '../../support/e2e/clients.ts';
import { type Credentials, PRIVATE, PROTECTED, PUBLIC, SOURCE } from '../../support/e2e/directory.ts';
import { type OciImage, pulledDigest } from '../../support/e2e/oci-image.ts';
import type { Registry } from '../../support/e2e/registry.ts';
import { type Outcome, until } from '../../support/processes/child.ts';
import { assertDone, assertMissing, assertRefused } from './outcome.ts';

export interface CopierSuite {
  readonly client: string;
  readonly find: Find;
  readonly copier: (binary: string) => Copier;
  /**
   * Whether the client prints the message of the token server's 403; some print only the status.
   */
  readonly showsMessage?: boolean;
}

/** The registry's log line for a blob that was mounted, not uploaded. */
const MOUNTED = /http\.request\.method=POST .*\/blobs\/uploads\/\?\S*mount=.*http\.response\.status=201/;

const LOG_MS = 5_000;

/** The tests of pushing, pulling and deleting that every client must pass. */
export function describeCopying(
  { client, find, copier, showsMessage = false }: CopierSuite,
  bench: () => Bench,
  registry: () => Registry,
): void {
  describe(`${client} moves images`, () => {
    const binary = needs(find);
    const people = () => bench().people;
    const images = new Images(client, () => copier(binary()), bench, registry);

    it('a developer pushes, and pulls the same image', async () => {
      const { image, name } = await images.pushed(PRIVATE, 'round-trip');
      await images.assertPulls(image, name, people().developer);
    });

    for (const who of ['deployer', 'job'] as const) {
      it(`the ${who} of a project pushes there and pulls`, async () => {
        const image = await bench().newImage();
        const name = `${PRIVATE}/${client}-${who}`;
        assertDone(await images.push(image, name, people()[who]));
        await images.assertPulls(image, name, people()[who]);
      });
    }

    it('a token for reading pulls and may not push', async () => {
      const { image, name } = await images.pushed(PRIVATE, 'reader');
      await images.assertPulls(image, name, people().reader);
      assertRefused(await images.push(await bench().newImage(), name, people().reader));
    });

    it('only an owner pushes to a protected repository, and the client prints the reason', async () => {
      const outcome = await images.push(
        await bench().newImage(),
        `${PROTECTED}-${client}`,
        people().maintainer,
      );
      assertRefused(outcome);
      if (showsMessage)
        assert.match(outcome.stdout + outcome.stderr, /Pushing to protected repository path forbidden/);
    });

    it('a guest of a private project may neither pull nor push', async () => {
      const { name } = await images.pushed(PRIVATE, 'guest');
      assertRefused(await images.pull(name, people().guest));
      assertRefused(await images.push(await bench().newImage(), name, people().guest));
    });

    it('anonymous pulls a public image and may not push one', async () => {
      const { image, name } = await images.pushed(PUBLIC, 'anonymous');
      await images.assertPulls(image, name, undefined);
      assertRefused(await images.push(await bench().newImage(), name, undefined));
    });

    it('anonymous may not pull a private image', async () => {
      const { name } = await images.pushed(PRIVATE, 'anonymous');
      assertRefused(await images.pull(name, undefined));
    });

    it('mounts the layers of one repository in another', async () => {
      const image = await bench().newImage();
      const from = `${SOURCE}/${client}-mount`;
      const to = `${PRIVATE}/${client}-mounted`;
      assertDone(await images.push(image, from, people().maintainer));
      assertDone(await images.copy(from, to, people().developer));
      await images.assertPulls(image, to, people().developer);
      await images.assertMounted(image.layers.length, to);
    });

    it('a maintainer deletes, a developer may not', async () => {
      const { image, name } = await images.pushed(PRIVATE, 'delete');
      assertRefused(await images.remove(image, name, people().developer));
      await images.assertPulls(image, name, people().developer);
      assertDone(await images.remove(image, name, people().maintainer));
      assertMissing(await images.pull(name, people().developer));
    });
  });
}

type Who = Credentials | undefined;

/**
 * One client on one registry. Each repository is named after the client, so that clients do not
 * interfere.
 */
class Images {
  readonly #client: string;
  readonly #copier: () => Copier;
  readonly #bench: () => Bench;
  readonly #registry: () => Registry;

  constructor(client: string, copier: () => Copier, bench: () => Bench, registry: () => Registry) {
    this.#client = client;
    this.#copier = copier;
    this.#bench = bench;
    this.#registry = registry;
  }

  /** Pushes a new image to `repository` below `project` as the developer. */
  async pushed(project: string, repository: string): Promise<{ image: OciImage; name: string }> {
    const image = await this.#bench().newImage();
    const name = `${project}/${this.#client}-${repository}`;
    assertDone(await this.push(image, name, this.#bench().people.developer));
    return { image, name };
  }

  push(image: OciImage, name: string, who: Who): Promise<Outcome> {
    return this.#copier().push(image, this.#tagged(name), this.#session(who));
  }

  copy(from: string, to: string, who: Who): Promise<Outcome> {
    return this.#copier().copy(this.#tagged(from), this.#tagged(to), this.#session(who));
  }

  remove(image: OciImage, name: string, who: Who): Promise<Outcome> {
    const reference = `${this.#registry().host}/${name}@${image.manifest.digest}`;
    return this.#copier().remove(reference, this.#session(who));
  }

  pull(name: string, who: Who, target = this.#bench().newPath()): Promise<Outcome> {
    return this.#copier().pull(this.#tagged(name), target, this.#session(who));
  }

  async assertPulls(image: OciImage, name: string, who: Who): Promise<void> {
    const target = this.#bench().newPath();
    assertDone(await this.pull(name, who, target));
    assert.equal(await pulledDigest(target), image.manifest.digest);
  }

  /** Waits until the log has this many mounts into `name`: the registry logs after it answers. */
  async assertMounted(count: number, name: string): Promise<void> {
    const lines = () => this.#registry().child.output().split('\n');
    const mounts = () => lines().filter((line) => line.includes(name) && MOUNTED.test(line));
    const enough = () => mounts().length >= count || undefined;
    await until(enough, () => `${mounts().length} of ${count} mounted`, LOG_MS);
  }

  #tagged(name: string): string {
    return `${this.#registry().host}/${name}:latest`;
  }

  #session(credentials: Who): Session {
    return { host: this.#registry().host, dir: this.#bench().dir, credentials };
  }
}
