import assert from 'node:assert/strict';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { loadMasterKey } from '../../../src/keys/master-key-file.ts';
import { openSigningKey } from '../../../src/keys/signing-key.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { createKeyStore } from '../../../src/store/keys.ts';
import { signToken } from '../../../src/token/sign.ts';
import type { Registry } from '../../support/e2e/registry.ts';
import { fetchToken, RegistryApi } from '../../support/e2e/registry-api.ts';
import { type Cell, type CellId, GROUP, SERVICE, type TwoCells } from '../../support/e2e/two-cells.ts';

/** Checks which registry accepts which tokens, through the router and directly. */
/** @param hasOwnIssuers whether each cell signs as another issuer; a registry takes one. */
export function describeCellTrust(
  scene: () => TwoCells,
  { hasOwnIssuers }: { readonly hasOwnIssuers: boolean },
): void {
  const tokenOf = (id: CellId): Promise<string> =>
    fetchToken({
      realm: scene().realm,
      service: SERVICE,
      scopes: [`repository:${GROUP[id]}/app:pull`],
      credentials: scene().visitors.tokenOf[id],
    });
  const taken = async (host: string, token: string): Promise<number> =>
    (await new RegistryApi(host, token).ping()).status;
  const registryOf = (id: CellId): string => scene().cells[id].registry.host;

  describe('a token', () => {
    for (const id of [1, 2] as const) {
      const other = id === 1 ? 2 : 1;
      it(`of cell ${id} is taken by the registry of cell ${id}, through the router and directly`, async () => {
        const token = await tokenOf(id);
        assert.equal(await taken(scene().host, token), 200);
        assert.equal(await taken(registryOf(id), token), 200);
      });

      it(`security check 29: of cell ${id} is refused by the registry of cell ${other}, also directly`, async () => {
        assert.equal(await taken(registryOf(other), await tokenOf(id)), 401);
      });
    }

    it('of cell 1 opens no repository of cell 2 through the router: it is sent to the registry of cell 1', async () => {
      const { host } = scene();
      const headers = { authorization: `Bearer ${await tokenOf(1)}` };
      const { status } = await fetch(`http://${host}/v2/${GROUP[2]}/app/tags/list`, { headers });
      assert.equal(status, 401);
    });
  });

  describe("a token signed with cell 1's stolen key", () => {
    const WAYS: readonly { to: string; host: () => string }[] = [
      { to: 'the router', host: () => scene().host },
      { to: 'the registry of cell 2', host: () => registryOf(2) },
    ];
    for (const { to, host } of WAYS) {
      it(`that claims cell 2 is refused by ${to}`, async () => {
        assert.equal(await taken(host(), await forged(scene().cells[1], 2)), 401);
      });
    }

    it('that claims cell 1 is accepted, so the other refusals are about the cell', async () => {
      const token = await forged(scene().cells[1], 1);
      assert.equal(await taken(scene().host, token), 200);
      assert.equal(await taken(registryOf(1), token), 200);
    });

    it('that names another issuer than its cell has is refused by the registry, and by the router where it knows', async () => {
      const token = await forged(scene().cells[1], 1, 'another-issuer');
      assert.equal(await taken(registryOf(1), token), 401);
      assert.equal(await taken(scene().host, token), 401);
    });

    it('that claims a cell which does not exist is refused by the router', async () => {
      assert.equal(await taken(scene().host, await forged(scene().cells[1], 3)), 401);
    });

    /** The claims of a real token of cell 1, except the cell. */
    async function forged(cell: Cell, claimed: number, issuer?: string): Promise<string> {
      const token = await tokenOf(cell.id);
      const key = await stealKey(cell);
      assert.equal(decodeProtectedHeader(token).kid, key.kid);
      const claims = { ...decodeJwt(token), cell: `cell-${claimed}`, ...(issuer && { iss: issuer }) };
      return signToken(claims, key, { kid: 'libtrust', x5c: true });
    }
  });

  describe('a registry for all cells', () => {
    let shared: Registry;
    before(async () => {
      const bundle = await scene().cells[2].cellpass.command('keys', 'export-ca', '--all-cells');
      shared = await scene().startRegistry(bundle);
    });

    for (const id of [1, 2] as const) {
      const isTaken = id === 1 || !hasOwnIssuers;
      it(`${isTaken ? 'takes' : 'refuses'} the tokens of cell ${id}`, async () => {
        assert.equal(await taken(shared.host, await tokenOf(id)), isTaken ? 200 : 401);
      });
    }
  });
}

/** The cell's signing key, decrypted with its database and its `master.key`. */
async function stealKey({
  cellpass,
}: Cell): Promise<NonNullable<Awaited<ReturnType<typeof openSigningKey>>>> {
  const { masterKey } = await loadMasterKey(cellpass.keysDir, { mayCreate: false });
  const database = openPostgres(cellpass.databaseUrl);
  try {
    const { keys } = await createKeyStore(database).readKeySet();
    const key = await openSigningKey(keys.find(({ state }) => state === 'active')!, masterKey);
    return key!;
  } finally {
    await database.close();
  }
}
