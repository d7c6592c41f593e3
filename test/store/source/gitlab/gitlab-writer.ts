import { applyDirectory } from '../../../../src/directory/apply.ts';
import type { Sql } from '../../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../../src/store/database/postgres.ts';
import { deriveKeys } from '../../../../src/store/source/gitlab/keys.ts';
import { createGitlabSource, type GitlabSource } from '../../../../src/store/source/gitlab/source.ts';
import { sharedPostgres } from '../../../support/database/postgres.ts';
import {
  copyToGitlab,
  createGitlab,
  type GitlabFixture,
  KnownSecrets,
} from '../../../support/gitlab/company.ts';
import { openByRoles } from '../../../support/gitlab/roles.ts';
import type { GitlabVersion } from '../../../support/gitlab/tables.ts';
import { COMPANY, type Company } from '../company.ts';
import type { SourceUnderTest } from '../conformance.ts';
import { learnPasswords, toDocument } from '../own/company-writer.ts';

export interface GitlabUnderTest extends SourceUnderTest {
  readonly source: GitlabSource;
  readonly gitlab: GitlabFixture;
}

export interface GitlabTestOptions {
  readonly version?: GitlabVersion;
  readonly hasOwnCi?: boolean;
}

/**
 * GitLab's tables in a fresh database, with `COMPANY` in them. It is written by way of cellpass's
 * own tables.
 */
export async function openGitlab({
  version,
  hasOwnCi = false,
}: GitlabTestOptions = {}): Promise<GitlabUnderTest> {
  const postgres = await sharedPostgres();
  const own = openPostgres(await postgres.createMigratedDatabase());
  const gitlab = await createGitlab(await postgres.createDatabase(), {
    ...(version !== undefined && { version }),
    ciUrl: hasOwnCi ? await postgres.createDatabase() : null,
  });
  const secrets = new KnownSecrets();
  let roundTrips = 0;
  const counting = (sql: Sql): Sql => ({
    query: (statement, params) => {
      roundTrips += 1;
      return sql.query(statement, params);
    },
    execute: (text) => sql.execute(text),
  });
  const write = async (company: Company): Promise<void> => {
    const document = await toDocument(company);
    secrets.learn(document);
    await learnPasswords(secrets);
    const passwords = { hash: async () => '', verify: async () => false };
    await applyDirectory({ database: own, passwords, now: () => new Date() }, JSON.stringify(document), {
      prune: false,
      who: 'a test',
    });
    await copyToGitlab(own, gitlab, secrets);
  };
  await write(COMPANY);
  const roles = await openByRoles(gitlab);
  const source = createGitlabSource({
    main: counting(roles.main),
    ci: roles.ci && counting(roles.ci),
    keys: deriveKeys([gitlab.dbKeyBase]),
    isEnterprise: true,
    write: roles.write,
    now: () => new Date(),
    monotonicMs: () => performance.now(),
    log: { warn: () => undefined },
  });
  await source.look();
  return {
    source,
    gitlab,
    write,
    roundTrips: () => roundTrips,
    close: async () => {
      await own.close();
      await roles.close();
      await gitlab.close();
    },
  };
}
