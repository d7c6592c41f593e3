import { randomBytes } from 'node:crypto';
import type { Database } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { printGrants, readCatalog } from '../../../src/store/source/gitlab/grants.ts';
import type { GitlabFixture } from './company.ts';

/** URLs with roles that have the rights that `gitlab grants` prints, and no more. */
export interface GitlabRoles {
  readonly readUrl: string;
  readonly ciReadUrl: string | null;
  readonly writeUrl: string;
}

export async function grantTo({ main, mainUrl, ci, ciUrl }: GitlabFixture): Promise<GitlabRoles> {
  const suffix = randomBytes(4).toString('hex');
  const [role, writeRole] = [`cellpass_ro_${suffix}`, `cellpass_rw_${suffix}`];
  await main.execute(`CREATE ROLE ${role} LOGIN; CREATE ROLE ${writeRole} LOGIN`);
  const databaseName = nameOf(mainUrl);
  await grant(main, { role, writeRole, database: 'main', databaseName });
  if (ci !== null && ciUrl !== null)
    await grant(ci, { role, writeRole: null, database: 'ci', databaseName: nameOf(ciUrl) });
  return {
    readUrl: asRole(mainUrl, role),
    ciReadUrl: ciUrl && asRole(ciUrl, role),
    writeUrl: asRole(mainUrl, writeRole),
  };
}

async function grant(database: Database, order: Parameters<typeof printGrants>[0]): Promise<void> {
  // Everybody may use this schema otherwise.
  await database.execute('REVOKE ALL ON SCHEMA public FROM PUBLIC');
  await database.execute(printGrants(order, await readCatalog(database)));
}

/** GitLab's databases as cellpass reaches them: by roles that have no more rights than it needs. */
export interface ByRoles {
  readonly main: Database;
  readonly ci: Database | null;
  readonly write: Database;
  close(): Promise<void>;
}

export async function openByRoles(gitlab: GitlabFixture): Promise<ByRoles> {
  const { readUrl, ciReadUrl, writeUrl } = await grantTo(gitlab);
  const main = openPostgres(readUrl, { onlyReads: true });
  const ci = ciReadUrl === null ? null : openPostgres(ciReadUrl, { onlyReads: true });
  const write = openPostgres(writeUrl);
  const close = async (): Promise<void> => {
    await Promise.all([main.close(), ci?.close(), write.close()]);
  };
  return { main, ci, write, close };
}

const nameOf = (url: string): string => new URL(url).pathname.slice(1);

function asRole(url: string, role: string): string {
  const changed = new URL(url);
  changed.username = role;
  return changed.href;
}
