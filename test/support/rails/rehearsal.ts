import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { loadConfig } from '../../../src/config/load.ts';
import { openGitlab } from '../../../src/server/open-gitlab.ts';
import { freePort } from '../database/postgres.ts';
import { type Cellpass, ISSUER, startCellpass } from '../e2e/cellpass.ts';
import { type Copier, type Session, skopeoCopier } from '../e2e/clients.ts';
import { writeImage } from '../e2e/oci-image.ts';
import { type Registry, startRegistry } from '../e2e/registry.ts';
import { makeGitlab } from '../gitlab/server.ts';
import { startTestServer } from '../server.ts';
import { likeServer, type RawAnswer, railsToken, startRailsStandIn } from './stand-in.ts';

/**
 * The whole way from Rails alone to cellpass and back, on one machine: a GitLab's database with the
 * people of `examples/acme.yaml`, a stand-in for Rails with a key of its own, a real registry that
 * trusts both, and a real client that pushes and pulls all the time.
 */

export interface RehearsalPrograms {
  readonly registry: string;
  readonly skopeo: string;
}

/** What came of one step. */
interface RehearsalStep {
  readonly name: string;
  /** Commands of the client, and those that failed. */
  readonly operations: number;
  readonly failed: number;
  readonly seconds: number;
}

export interface Rehearsal {
  readonly steps: readonly RehearsalStep[];
  /** Who answered a request for a group, by step. */
  readonly answeredBy: Readonly<Record<string, Readonly<Record<string, 'rails' | 'cellpass'>>>>;
  /** `gitlab check`, as it was printed. */
  readonly check: string;
  /** `gitlab differences` with the seeded difference, and `explain` of it. */
  readonly differences: string;
  readonly explanation: string;
  /** `gitlab differences --json` after the difference was mended. */
  readonly mended: { readonly differing: number; readonly equal: number };
}

const SERVICE = 'container_registry';
const COMPANY = new URL('../../../examples/acme.yaml', import.meta.url);
const ALICE = { username: 'alice', password: 'glpat-example-alice-laptop-0001' };
/** The repository that the client works with, and one of another group. */
const WORK = 'acme/platform/api';
const OTHER = 'alice/dotfiles';
/** The seeded difference: Rails does not let alice push here. */
const SEEDED = 'acme/web';
const OPERATIONS_A_STEP = 6;

/** @param say gets each line of the report. */
export async function rehearse(
  { registry: registryBinary, skopeo }: RehearsalPrograms,
  say: (line: string) => void,
): Promise<Rehearsal> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-rehearsal-'));
  const closers: (() => Promise<unknown>)[] = [() => rm(dir, { recursive: true, force: true })];
  try {
    return await inFolder(dir, closers, { registryBinary, copier: skopeoCopier(skopeo), say });
  } finally {
    for (const close of closers.toReversed()) await close();
  }
}

interface Tools {
  readonly registryBinary: string;
  readonly copier: Copier;
  readonly say: (line: string) => void;
}

async function inFolder(
  dir: string,
  closers: (() => Promise<unknown>)[],
  { registryBinary, copier, say }: Tools,
): Promise<Rehearsal> {
  const company = await readFile(COMPANY, 'utf8');
  const gitlab = await makeGitlab(company);
  const rails = await startRails(gitlab, closers);
  const registryPort = await freePort();
  const registryUrl = `http://localhost:${registryPort}`;
  const beside = (rules: object): object => ({
    gitlab: { ...gitlab, rails_url: rails.url, ...rules },
    registries: [{ name: 'the-registry', url: registryUrl }],
  });
  const cellpass = await startCellpass({
    services: { [SERVICE]: {} },
    directory: company,
    gitlab: { ...gitlab, rails_url: rails.url, mode: 'observe' },
    settings: { registries: [{ name: 'the-registry', url: registryUrl }] },
  });
  closers.push(() => cellpass.stop());
  const bundle = `${rails.certificate}${await (await fetch(`${cellpass.url}/.well-known/token-ca.pem`)).text()}`;
  const storage = join(dir, 'images');
  let registry: Registry | undefined;
  closers.push(async () => registry?.stop());
  const serveImages = async (realm: string): Promise<void> => {
    await registry?.stop();
    registry = await startRegistry({
      ...{ binary: registryBinary, service: SERVICE, issuer: ISSUER, storage, port: registryPort },
      realm,
      trust: { rootcertbundle: bundle },
    });
  };

  const session: Session = { host: `localhost:${registryPort}`, credentials: ALICE, dir };
  const steps: RehearsalStep[] = [];
  const answeredBy: Record<string, Record<string, 'rails' | 'cellpass'>> = {};
  /** @param change is made while the client works, unless the registry must start again for it. */
  const step = async (
    name: string,
    change: () => Promise<void>,
    { restarts = false } = {},
  ): Promise<void> => {
    if (restarts) await change();
    const startedAt = performance.now();
    const [{ operations, failed }] = await Promise.all([
      work(copier, session, dir),
      restarts ? undefined : change(),
    ]);
    const seconds = (performance.now() - startedAt) / 1000;
    steps.push({ name, operations, failed, seconds });
    say(`${name}: ${operations} operations of a real client, ${failed} failed, in ${seconds.toFixed(1)} s`);
    answeredBy[name] = { acme: await whoAnswers(cellpass, WORK), alice: await whoAnswers(cellpass, OTHER) };
  };

  const byRails = `${rails.url}/jwt/auth`;
  await step('Rails alone', () => serveImages(byRails), { restarts: true });
  await step('cellpass observes', () => serveImages(cellpass.realm), { restarts: true });
  const check = await cellpass.command('gitlab', 'check');
  rails.refusePush(SEEDED);
  await ask(cellpass, `repository:${SEEDED}:pull,push`);
  const found = JSON.parse(await cellpass.command('gitlab', 'differences', '--json'));
  const differences = await cellpass.command('gitlab', 'differences');
  const explanation = await cellpass.command('explain', '--request', found.groups[0].request_id);
  say(`\n$ cellpass gitlab differences\n${differences}\n$ cellpass explain --request …\n${explanation}`);
  rails.refusePush(null);
  const since = new Date().toISOString();
  await step('the difference is mended', async () => undefined);
  const { groups, equal } = JSON.parse(
    await cellpass.command('gitlab', 'differences', '--json', '--since', since),
  );
  await step('cellpass serves acme', () => cellpass.reconfigure(beside({ serve_namespaces: ['acme'] })));
  await step('cellpass serves all', () => cellpass.reconfigure(beside({})));
  await step('back: cellpass observes', () => cellpass.reconfigure(beside({ mode: 'observe' })));
  await step('back: Rails alone', () => serveImages(byRails), { restarts: true });
  return { steps, answeredBy, check, differences, explanation, mended: { differing: groups.length, equal } };
}

interface Rails {
  readonly url: string;
  /** Of its key, for registries. */
  readonly certificate: string;
  /** Null: it grants pushes to all. */
  refusePush(repository: string | null): void;
}

/** Another server on the same GitLab, with a key of its own, behind the manners of Rails. */
async function startRails(
  gitlab: Readonly<Record<string, string>>,
  closers: (() => Promise<unknown>)[],
): Promise<Rails> {
  const environment = {
    CELLPASS_ISSUER: ISSUER,
    ...Object.fromEntries(
      Object.entries(gitlab).map(([name, value]) => [`CELLPASS_GITLAB_${name.toUpperCase()}`, value]),
    ),
  };
  const settings = loadConfig(environment).gitlab;
  if (settings === null) throw new Error('the settings name no GitLab');
  const log = { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const databases = await openGitlab(settings, log);
  closers.push(() => databases.close());
  const twin = await startTestServer({ environment, gitlab: databases, log });
  closers.push(() => twin.close());
  const { port } = twin.app.address() as AddressInfo;
  const own = `http://127.0.0.1:${port}`;
  let refused: string | null = null;
  const change = (answer: RawAnswer): RawAnswer => {
    if (refused === null || answer.status !== 200) return answer;
    const { access, ...claims } = decodeJwt<{ access: { name: string; actions: string[] }[] }>(
      JSON.parse(String(answer.body)).token,
    );
    if (!access.some(({ name }) => name === refused)) return answer;
    const without = access.map((entry) =>
      entry.name === refused
        ? { ...entry, actions: entry.actions.filter((action) => action !== 'push') }
        : entry,
    );
    return railsToken({ ...claims, access: without });
  };
  const standIn = await startRailsStandIn(likeServer(own, change));
  closers.push(() => standIn.close());
  return {
    url: standIn.url,
    certificate: await (await fetch(`${own}/.well-known/token-ca.pem`)).text(),
    refusePush: (repository) => {
      refused = repository;
    },
  };
}

const ignore = (): void => undefined;

/** Pushes new images, and pulls each of them. */
async function work(
  copier: Copier,
  session: Session,
  dir: string,
): Promise<Pick<RehearsalStep, 'operations' | 'failed'>> {
  let failed = 0;
  for (let n = 0; n < OPERATIONS_A_STEP / 2; n++) {
    const image = await writeImage(join(dir, randomUUID()));
    const reference = `${session.host}/${WORK}:${randomUUID()}`;
    const pushed = await copier.push(image, reference, session);
    const pulled = await copier.pull(reference, join(dir, randomUUID()), session);
    failed += [pushed, pulled].filter(({ code }) => code !== 0).length;
  }
  return { operations: OPERATIONS_A_STEP, failed };
}

function ask(cellpass: Cellpass, scope: string): Promise<Response> {
  const query = new URLSearchParams({ service: SERVICE, scope });
  const basic = Buffer.from(`${ALICE.username}:${ALICE.password}`).toString('base64');
  return fetch(`${cellpass.realm}?${query}`, { headers: { Authorization: `Basic ${basic}` } });
}

async function whoAnswers(cellpass: Cellpass, repository: string): Promise<'rails' | 'cellpass'> {
  const response = await ask(cellpass, `repository:${repository}:pull`);
  await response.body?.cancel();
  return response.headers.get('cellpass-answered-by') === 'rails' ? 'rails' : 'cellpass';
}
