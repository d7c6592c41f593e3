import assert from 'node:assert/strict';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import { dockerLogin, skopeoCopier } from '../../support/e2e/clients.ts';
import { type Load, startLoad } from '../../support/e2e/load.ts';
import { writeImage } from '../../support/e2e/oci-image.ts';
import { fetchToken, RegistryApi } from '../../support/e2e/registry-api.ts';
import { GROUP, SERVICE, type TwoCells } from '../../support/e2e/two-cells.ts';
import type { Clients } from './cells.ts';

export interface CellRotationSuite {
  readonly rotations: number;
  readonly scene: () => TwoCells;
  readonly clients: () => Clients;
}

/** The keys of cell 2 change while clients log in, push and pull through the router. */
export function describeCellRotation({ rotations, scene, clients }: CellRotationSuite): void {
  it(`${rotations} rotation(s) in cell 2 wait for the router, and fail no login, push or pull`, async function () {
    this.timeout((rotations + 2) * 20_000);
    const { command } = scene().cells[2].cellpass;
    const tokens = [await newToken()];
    const load = await startClients();
    try {
      await command('keys', 'stage');
      for (let rotation = 0; rotation < rotations; rotation++) {
        // The registry trusts the CA already; only the router's rule is missing.
        await assert.rejects(
          command('keys', 'activate'),
          /^cellpass: registry router: not yet: it has no rule for the key /m,
        );
        await scene().writeRouter(2);
        await scene().router.reload();
        await command('keys', 'rotate');
        await load.more(1);
        tokens.push(await newToken());
      }
    } finally {
      await load.stop();
    }
    assert.deepEqual(load.failures, []);
    for (const token of tokens) assert.equal((await new RegistryApi(scene().host, token).ping()).status, 200);
    assert.equal(new Set(tokens.map((token) => decodeProtectedHeader(token).kid)).size, rotations + 1);
    console.log(`      ${rotations} rotations, ${JSON.stringify(load.done)}, no failure`);
  });

  const newToken = (): Promise<string> =>
    fetchToken({
      realm: scene().realm,
      service: SERVICE,
      scopes: [`repository:${GROUP[2]}/app:pull`],
      credentials: scene().visitors.tokenOf[2],
    });

  async function startClients(): Promise<Load> {
    const { host, dir, visitors } = scene();
    const session = { host, dir, credentials: visitors.tokenOf[2] };
    const copier = skopeoCopier(clients().skopeo);
    const reference = `${host}/${GROUP[2]}/app/pulled:1`;
    const first = await copier.push(await writeImage(join(dir, 'pulled')), reference, session);
    assert.equal(first.code, 0, first.stderr);
    let pushes = 0;
    let pulls = 0;
    return startLoad({
      login: () => dockerLogin(clients().docker)(session),
      push: async () => {
        pushes += 1;
        const image = await writeImage(join(dir, `pushed-${pushes}`));
        return copier.push(image, `${host}/${GROUP[2]}/app/pushed:${pushes}`, session);
      },
      pull: () => {
        pulls += 1;
        return copier.pull(reference, join(dir, `pulled-${pulls}`), session);
      },
    });
  }
}
