import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeProtectedHeader } from 'jose';
import type { Child } from '../processes/child.ts';
import {
  type Cellpass,
  type CellpassOptions,
  ISSUER,
  type ServiceSettings,
  startCellpass,
} from './cellpass.ts';
import { directoryOf, makePeople, type People } from './directory.ts';
import { type OciImage, writeImage } from './oci-image.ts';
import { type Registry, startRegistry, type Trust } from './registry.ts';
import { fetchToken } from './registry-api.ts';
import { INSTALL_MS } from './tools.ts';
import { type Programs, startTwoCells, type TwoCells } from './two-cells.ts';

/** The cellpass, the registry and the people that the tests of one file share. */
export interface Bench {
  readonly cellpass: Cellpass;
  /** Another cell with the same people, services and issuer, but its own keys. */
  readonly otherCell: Cellpass;
  readonly people: People;
  /** A temporary folder. */
  readonly dir: string;
  newImage(): Promise<OciImage>;
  /** A new path, at which no file exists yet. */
  newPath(): string;
}

export type Find = () => Promise<string | undefined>;

/** A service that no registry of these tests uses. */
export const ELSEWHERE = 'elsewhere';

const START_MS = 120_000;
const TAIL_LINES = 60;

/** Skips the enclosing `describe` unless the program is installed. */
export function needs(find: Find): () => string {
  let path: string | undefined;
  before(async function () {
    this.timeout(INSTALL_MS);
    path = await find();
    if (path === undefined) this.skip();
  });
  return () => path!;
}

/**
 * Runs cellpass, with the people of `directory.ts` and these services, for the enclosing
 * `describe`.
 */
export function useCellpass(
  registries: Readonly<Record<string, ServiceSettings>>,
  more: Pick<CellpassOptions, 'onGitlab'> = {},
): () => Bench {
  const services = { ...registries, [ELSEWHERE]: {} };
  let bench: Bench | undefined;
  before(async function () {
    this.timeout(START_MS);
    const people = makePeople();
    const options = { services, directory: directoryOf(people), ...more };
    const cellpass = await startCellpass(options);
    const otherCell = await startCellpass({ ...options, settings: { cell: 2 } });
    const dir = await mkdtemp(join(tmpdir(), 'cellpass-clients-'));
    const newPath = () => join(dir, randomUUID());
    bench = { cellpass, otherCell, people, dir, newPath, newImage: () => writeImage(newPath()) };
  });
  after(async function () {
    this.timeout(START_MS);
    await bench?.cellpass.stop();
    await bench?.otherCell.stop();
    if (bench !== undefined) await rm(bench.dir, { recursive: true, force: true });
  });
  printOutputOnFailure(() => bench?.cellpass.child);
  return () => bench!;
}

export interface RegistryUse {
  readonly binary: () => string;
  readonly service: string;
  /** Makes the registry's trust from cellpass's present keys and certificates. */
  readonly trust: (bench: Bench) => Promise<Trust>;
}

/** Runs a registry that trusts cellpass, for the enclosing `describe`. */
export function useRegistry(bench: () => Bench, use: RegistryUse): () => Registry {
  let registry: Registry | undefined;
  before(async function () {
    this.timeout(START_MS);
    const { binary, service, trust } = use;
    const { realm } = bench().cellpass;
    registry = await startRegistry({
      binary: binary(),
      realm,
      service,
      issuer: ISSUER,
      trust: await trust(bench()),
    });
  });
  after(async function () {
    this.timeout(START_MS);
    await registry?.stop();
  });
  printOutputOnFailure(() => registry?.child);
  return () => registry!;
}

/** Runs two cells behind one host name, for the enclosing `describe`. */
export function useTwoCells(programs: () => Programs): () => TwoCells {
  let scene: TwoCells | undefined;
  before(async function () {
    this.timeout(START_MS);
    scene = await startTwoCells(programs());
  });
  after(async function () {
    this.timeout(START_MS);
    await scene?.stop();
  });
  for (const id of [1, 2] as const) {
    printOutputOnFailure(() => scene?.cells[id].cellpass.child);
    printOutputOnFailure(() => scene?.cells[id].registry.child);
  }
  printOutputOnFailure(() => scene?.router.child);
  return () => scene!;
}

/** The ways a registry can trust cellpass. */
export const TRUST = {
  /** Trusts the CA: accepts every signing key by the leaf certificate in the token. */
  ca: async ({ cellpass }: Bench) => ({ rootcertbundle: await cellpass.command('keys', 'export-ca') }),
  /**
   * Trusts the active key's own certificate, which the token's `kid` names; read from a token's
   * `x5c`.
   */
  certificate: async ({ cellpass, people }: Bench) => {
    const request = { realm: cellpass.realm, service: ELSEWHERE, scopes: [], credentials: people.guest };
    const [leaf] = decodeProtectedHeader(await fetchToken(request)).x5c!;
    return { rootcertbundle: `-----BEGIN CERTIFICATE-----\n${leaf}\n-----END CERTIFICATE-----\n` };
  },
  jwks: async ({ cellpass }: Bench) => ({ jwks: await cellpass.jwks() }),
  caAndJwks: async (bench: Bench) => ({ ...(await TRUST.ca(bench)), ...(await TRUST.jwks(bench)) }),
};

function printOutputOnFailure(child: () => Child | undefined): void {
  afterEach(function () {
    if (this.currentTest?.state !== 'failed') return;
    const shown = child();
    if (shown === undefined) return;
    const lines = shown.output().trimEnd().split('\n').slice(-TAIL_LINES);
    console.log(`--- the last of ${shown.name}:\n${lines.join('\n')}\n---`);
  });
}
