import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '../../../src/config/load.ts';
import { applyDirectory } from '../../../src/directory/apply.ts';
import { type OpenGitlab, openGitlab } from '../../../src/server/open-gitlab.ts';
import type { Database } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres, type TestPostgres } from '../database/postgres.ts';
import { startTestServer, type TestServer, type TestServerOptions } from '../server.ts';
import {
  copyToGitlab,
  createGitlab,
  type FixtureOptions,
  type GitlabFixture,
  KnownSecrets,
} from './company.ts';
import { grantTo } from './roles.ts';

/** A server whose directory is a GitLab's database, which it reads with no more rights than it needs. */
export interface GitlabTestServer extends TestServer {
  readonly gitlab: GitlabFixture;
  /** GitLab's databases by the connections of the server. */
  readonly databases: OpenGitlab;
  readonly secrets: KnownSecrets;
  /** The settings that name this GitLab. */
  readonly environment: Readonly<Record<string, string>>;
  /** Cellpass's own tables, from which GitLab's rows are made. */
  readonly world: Database;
  /** Writes GitLab's rows anew, after a change of `world`. */
  copy(): Promise<void>;
}

export interface GitlabTestOptions extends TestServerOptions {
  readonly fixture?: Omit<FixtureOptions, 'ciUrl'>;
  readonly hasOwnCi?: boolean;
  readonly edition?: 'ce' | 'ee';
  /** Whether cellpass has a role that may write; default: true. */
  readonly mayWrite?: boolean;
  /** The server with GitLab's databases; default: the shared one, which also has cellpass's own. */
  readonly postgres?: TestPostgres;
  /** The URL by which cellpass reaches this one, such as a pooler's. */
  readonly via?: (url: string) => Promise<string>;
}

export async function startGitlabServer({
  fixture = {},
  hasOwnCi = false,
  edition = 'ee',
  mayWrite = true,
  postgres: gitlabPostgres,
  via = async (url) => url,
  ...options
}: GitlabTestOptions = {}): Promise<GitlabTestServer> {
  const postgres = await sharedPostgres();
  const theirs = gitlabPostgres ?? postgres;
  const ciUrl = hasOwnCi ? await theirs.createDatabase() : null;
  const gitlab = await createGitlab(await theirs.createDatabase(), { ...fixture, ciUrl });
  const world = openPostgres(await postgres.createMigratedDatabase());
  const secrets = new KnownSecrets();
  const copy = (): Promise<void> => copyToGitlab(world, gitlab, secrets);
  // A GitLab has its settings before anything else.
  await copy();
  const granted = await grantTo(gitlab);
  const roles = { ...granted, readUrl: await via(granted.readUrl) };
  const environment = {
    ...(await gitlabEnvironment(gitlab, { edition, ...roles, mayWrite })),
    ...options.environment,
  };
  const settings = loadConfig(environment).gitlab;
  if (settings === null) throw new Error('the settings name no GitLab');
  const log = options.log ?? { debug: ignore, info: ignore, warn: ignore, error: ignore };
  const databases = await openGitlab(settings, log);
  const server = await startTestServer({ ...options, environment, gitlab: databases });
  return {
    ...server,
    databases,
    environment,
    gitlab,
    secrets,
    world,
    copy,
    apply: async (document, { prune = false } = {}) => {
      const text = typeof document === 'string' ? document : JSON.stringify({ version: 1, ...document });
      await fill({ world, gitlab, secrets }, text, prune);
    },
    close: async () => {
      await server.close();
      await databases.close();
      await gitlab.close();
      await world.close();
    },
  };
}

/**
 * Makes a GitLab that has what a directory document says.
 * @returns the section `gitlab` of the settings that name it.
 */
export async function makeGitlab(document: string): Promise<Readonly<Record<string, string>>> {
  const postgres = await sharedPostgres();
  const gitlab = await createGitlab(await postgres.createDatabase());
  const world = openPostgres(await postgres.createMigratedDatabase());
  try {
    await fill({ world, gitlab, secrets: new KnownSecrets() }, document, false);
    const environment = await gitlabEnvironment(gitlab, {
      ...(await grantTo(gitlab)),
      edition: 'ee',
      mayWrite: true,
    });
    return Object.fromEntries(
      Object.entries(environment).map(([name, value]) => [
        name.replace('CELLPASS_GITLAB_', '').toLowerCase(),
        value,
      ]),
    );
  } finally {
    await world.close();
    await gitlab.close();
  }
}

/** Applies a document to cellpass's own tables, and copies these to GitLab's. */
export async function fill(
  { world, gitlab, secrets }: Pick<GitlabTestServer, 'world' | 'gitlab' | 'secrets'>,
  document: string,
  prune: boolean,
): Promise<void> {
  secrets.learn(document);
  const passwords = {
    hash: async (password: string) => secrets.inventHash(password),
    verify: async () => false,
  };
  await applyDirectory({ database: world, passwords, now: () => new Date() }, document, {
    prune,
    who: 'a test',
  });
  await copyToGitlab(world, gitlab, secrets);
}

const ignore = (): void => undefined;

let files = 0;
let folder: Promise<string> | undefined;

/** One for this process, which removes it at its end. */
function secretsFolder(): Promise<string> {
  folder ??= mkdtemp(join(tmpdir(), 'cellpass-gitlab-')).then((path) => {
    process.once('exit', () => rmSync(path, { recursive: true, force: true }));
    return path;
  });
  return folder;
}

/** The settings that point a server at this GitLab. */
export async function gitlabEnvironment(
  { dbKeyBase }: Pick<GitlabFixture, 'dbKeyBase'>,
  {
    readUrl,
    ciReadUrl,
    writeUrl,
    edition,
    mayWrite,
  }: {
    readonly readUrl: string;
    readonly ciReadUrl: string | null;
    readonly writeUrl: string;
    readonly edition: 'ce' | 'ee';
    readonly mayWrite: boolean;
  },
): Promise<Readonly<Record<string, string>>> {
  files += 1;
  const file = join(await secretsFolder(), `gitlab-secrets-${files}.json`);
  await writeFile(file, JSON.stringify({ gitlab_rails: { db_key_base: dbKeyBase } }), { mode: 0o600 });
  return {
    CELLPASS_GITLAB_DATABASE_URL: readUrl,
    ...(ciReadUrl !== null && { CELLPASS_GITLAB_CI_DATABASE_URL: ciReadUrl }),
    ...(mayWrite && { CELLPASS_GITLAB_WRITE_DATABASE_URL: writeUrl }),
    CELLPASS_GITLAB_SECRETS_FILE: file,
    CELLPASS_GITLAB_EDITION: edition,
  };
}
