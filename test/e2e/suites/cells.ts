import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import {
  type Copier,
  dockerLogin,
  type Session,
  skopeoCopier,
  skopeoLogin,
} from '../../support/e2e/clients.ts';
import type { Credentials } from '../../support/e2e/directory.ts';
import { type OciImage, pulledDigest, writeImage } from '../../support/e2e/oci-image.ts';
import { accessIn, askForToken, fetchToken, RegistryApi } from '../../support/e2e/registry-api.ts';
import { type CellId, GROUP, SERVICE, type TwoCells, type Visitors } from '../../support/e2e/two-cells.ts';
import { type Outcome, until } from '../../support/processes/child.ts';
import { assertDone, assertRefused, assertUnauthorized } from './outcome.ts';

export interface Clients {
  readonly docker: string;
  readonly skopeo: string;
}

type Who = keyof typeof WHO;

const WHO = {
  'a password': ({ password }: Visitors) => password,
  'a deploy token': ({ deployToken }: Visitors) => deployToken,
  'a token of cell 1': ({ tokenOf }: Visitors) => tokenOf[1],
  'a token of cell 2': ({ tokenOf }: Visitors) => tokenOf[2],
};

const FOR_TWO = /cell 2 takes only access tokens, deploy tokens and CI job tokens that were made for it/;
/** The line in a registry's log that says that it accepted a token. */
const PINGED = / "GET \/v2\/ HTTP\/1\.1" 200 /;
const LOG_MS = 5000;

/** What clients see of two cells behind one host name. */
export function describeCells(scene: () => TwoCells, clients: () => Clients): void {
  const who = (name: Who): Credentials => WHO[name](scene().visitors);
  const client = (credentials: Credentials | undefined): CellClient =>
    new CellClient(scene(), skopeoCopier(clients().skopeo), credentials);
  const session = (credentials: Credentials) => ({ host: scene().host, dir: scene().dir, credentials });
  /** Pushes a new image to the project `site` or `app` of a cell, with a token of that cell. */
  const pushed = async (id: CellId, project: 'app' | 'site'): Promise<{ image: OciImage; name: string }> => {
    const image = await writeImage(join(scene().dir, randomUUID()));
    const name = `${GROUP[id]}/${project}/${randomUUID()}`;
    assertDone(await client(scene().visitors.tokenOf[id]).push(image, name));
    return { image, name };
  };

  const count = (id: CellId, line: RegExp): number =>
    scene()
      .cells[id].registry.child.output()
      .split('\n')
      .filter((one) => line.test(one)).length;
  /**
   * Waits until the registry's log has this many such lines: the registry logs after it answers.
   */
  const logs = (id: CellId, line: RegExp, times = 1): Promise<true> =>
    until(
      () => count(id, line) >= times || undefined,
      () => `the log of registry ${id} has no ${times} lines like ${line}`,
      LOG_MS,
    );

  describe('logging in', () => {
    const ASKED = {
      'the issuer of cell 1': () => `${scene().cells[1].cellpass.url}/jwt/auth`,
      'the issuer of cell 2': () => `${scene().cells[2].cellpass.url}/jwt/auth`,
      'the router': () => scene().realm,
    };
    const ROWS: readonly [Who, cell: string][] = [
      ['a password', 'cell-1'],
      ['a deploy token', 'cell-1'],
      ['a token of cell 1', 'cell-1'],
      ['a token of cell 2', 'cell-2'],
    ];
    for (const [name, cell] of ROWS) {
      for (const [asked, realm] of Object.entries(ASKED)) {
        it(`with ${name} ends in ${cell}, asking ${asked}`, async () => {
          const request = { realm: realm(), service: SERVICE, scopes: [], credentials: who(name) };
          assert.equal(decodeJwt(await fetchToken(request))['cell'], cell);
        });
      }

      for (const program of ['docker', 'skopeo'] as const) {
        it(`${program} logs in with ${name}, and the registry of ${cell} takes its token`, async () => {
          const id = cell === 'cell-1' ? 1 : 2;
          const before = count(id, PINGED);
          const login = program === 'docker' ? dockerLogin(clients().docker) : skopeoLogin(clients().skopeo);
          assertDone(await login(session(who(name))));
          await logs(id, PINGED, before + 1);
        });
      }
    }

    it('fails with a password that is wrong', async () => {
      const { username } = who('a password');
      const login = dockerLogin(clients().docker);
      assertUnauthorized(await login(session({ username, password: 'guessed' })));
    });
  });

  describe('pushing and pulling', () => {
    for (const id of [1, 2] as const) {
      const other = id === 1 ? 2 : 1;
      it(`in ${GROUP[id]} goes to the registry of cell ${id}, and no blob to the other`, async () => {
        const { image, name } = await pushed(id, 'app');
        await client(scene().visitors.tokenOf[id]).assertPulls(image, name);
        for (const { digest } of [image.manifest, image.config, ...image.layers]) {
          assert.ok(isStored(scene(), id, digest));
          assert.ok(!isStored(scene(), other, digest));
        }
      });
    }

    for (const name of ['a password', 'a deploy token'] as const) {
      it(`with ${name} works in cell 1`, async () => {
        const image = await writeImage(join(scene().dir, randomUUID()));
        const repository = `${GROUP[1]}/app/${randomUUID()}`;
        assertDone(await client(who(name)).push(image, repository));
        await client(who(name)).assertPulls(image, repository);
      });

      it(`with ${name} is refused in cell 2`, async () => {
        const image = await writeImage(join(scene().dir, randomUUID()));
        const repository = `${GROUP[2]}/app/${randomUUID()}`;
        assertRefused(await client(who(name)).push(image, repository));
        assert.ok(!isStored(scene(), 2, image.manifest.digest));
      });

      for (const id of [1, 2] as const) {
        it(`with ${name} is refused by cell 2 in words, asking the issuer of cell ${id}`, async () => {
          const { status, body } = await askForToken({
            realm: `${scene().cells[id].cellpass.url}/jwt/auth`,
            service: SERVICE,
            scopes: [`repository:${GROUP[2]}/app:pull,push`],
            credentials: who(name),
          });
          assert.equal(status, 401);
          assert.match(JSON.parse(body).errors[0].message, FOR_TWO);
        });
      }
    }

    const FOREIGN: readonly [Who, CellId][] = [
      ['a password', 2],
      ['a deploy token', 2],
      ['a token of cell 1', 2],
      ['a token of cell 2', 1],
    ];
    for (const [name, id] of FOREIGN) {
      it(`with ${name} pulls a public image of cell ${id}, and no private one`, async () => {
        const [open, closed] = [await pushed(id, 'site'), await pushed(id, 'app')];
        await client(who(name)).assertPulls(open.image, open.name);
        assertRefused(await client(who(name)).pull(closed.name, join(scene().dir, randomUUID())));
        assertRefused(await client(who(name)).push(open.image, open.name));
      });
    }

    it('without credentials pulls a public image of each cell', async () => {
      for (const id of [1, 2] as const) {
        const { image, name } = await pushed(id, 'site');
        await client(undefined).assertPulls(image, name);
      }
    });

    for (const [from, to] of [
      [1, 2],
      [2, 1],
    ] as const) {
      it(`copies from cell ${from} to cell ${to}: what can't be mounted is uploaded`, async () => {
        const { image, name } = await pushed(from, 'site');
        const target = `${GROUP[to]}/app/${randomUUID()}`;
        const credentials = scene().visitors.tokenOf[to];
        assertDone(await client(credentials).copy(name, target));
        await client(credentials).assertPulls(image, target);
        for (const { digest } of image.layers) assert.ok(isStored(scene(), to, digest));
        // skopeo checks that the source has the layer before it asks for the mount.
        const looked = new RegExp(`"HEAD /v2/${name}/blobs/`);
        await logs(to, looked);
      });

      it(`a mount from cell ${from} in cell ${to} is no error of the token server, and the same token uploads`, async () => {
        const { image, name } = await pushed(from, 'site');
        const target = `${GROUP[to]}/app/${randomUUID()}`;
        const token = await fetchToken({
          realm: scene().realm,
          service: SERVICE,
          scopes: [`repository:${target}:pull,push`, `repository:${name}:pull`],
          credentials: scene().visitors.tokenOf[to],
        });
        const api = new RegistryApi(scene().host, token);
        assert.deepEqual(accessIn(token), [`${target}:pull,push`]);
        assert.equal((await api.mount(target, image.layers[0]!.digest, name)).status, 401);
        await api.upload(target, image);
        for (const { digest } of image.layers) assert.ok(isStored(scene(), to, digest));
      });
    }
  });

  describe('the catalog', () => {
    it('is that of cell 1, with the token of an admin', async () => {
      const { name } = await pushed(1, 'site');
      const token = await fetchToken({
        realm: scene().realm,
        service: SERVICE,
        scopes: ['registry:catalog:*'],
        credentials: scene().visitors.admin,
      });
      const listed = await catalog(token);
      assert.equal(listed.status, 200);
      const { repositories }: { repositories: string[] } = JSON.parse(await listed.text());
      assert.ok(repositories.includes(name));
      assert.ok(repositories.every((repository) => repository.startsWith(`${GROUP[1]}/`)));
    });

    it('is refused to everybody else, by the registry of cell 1', async () => {
      const line = / "GET \/v2\/_catalog\S* HTTP\/1\.1" 401 /;
      const before = count(1, line);
      assert.equal((await catalog()).status, 401);
      await logs(1, line, before + 1);
    });

    const catalog = (token?: string): Promise<Response> =>
      fetch(`http://${scene().host}/v2/_catalog?n=1000`, {
        headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      });
  });
}

/** One user with skopeo and one host name. */
class CellClient {
  readonly #copier: Copier;
  readonly #session: Session;

  constructor({ host, dir }: TwoCells, copier: Copier, credentials: Credentials | undefined) {
    this.#copier = copier;
    this.#session = { host, dir, credentials };
  }

  push(image: OciImage, name: string): Promise<Outcome> {
    return this.#copier.push(image, this.#tagged(name), this.#session);
  }

  pull(name: string, target: string): Promise<Outcome> {
    return this.#copier.pull(this.#tagged(name), target, this.#session);
  }

  copy(from: string, to: string): Promise<Outcome> {
    return this.#copier.copy(this.#tagged(from), this.#tagged(to), this.#session);
  }

  async assertPulls(image: OciImage, name: string): Promise<void> {
    const target = join(this.#session.dir, randomUUID());
    assertDone(await this.pull(name, target));
    assert.equal(await pulledDigest(target), image.manifest.digest);
  }

  #tagged(name: string): string {
    return `${this.#session.host}/${name}:latest`;
  }
}

/** The path at which distribution stores a blob. */
function isStored({ cells }: TwoCells, id: CellId, digest: string): boolean {
  const hex = digest.replace('sha256:', '');
  return existsSync(join(cells[id].storage, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data'));
}
