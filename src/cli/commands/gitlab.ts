import { Command } from 'commander';
import { readDatabaseUrl } from '../../config/database-url.ts';
import { loadConfig, readGitlabUrl } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';
import { toJsonLine } from '../client/admin-command.ts';
import { reasonOf } from '../doctor/finding.ts';
import { printFindings, refuseIfFailed } from './doctor.ts';

interface GrantsOptions {
  readonly role: string;
  readonly writeRole?: string;
  readonly ci?: boolean;
}

/** For a GitLab's database as the directory. */
export function gitlabCommand(terminal: Terminal): Command {
  const gitlab = new Command('gitlab').description(
    "use a GitLab's own database as the directory: rights, and whether all is well",
  );
  gitlab
    .command('grants')
    .description('print the SQL that grants exactly what cellpass reads and writes; needs no server')
    .option('--role <name>', 'the role of CELLPASS_GITLAB_DATABASE_URL', 'cellpass_ro')
    .option('--write-role <name>', 'the role of CELLPASS_GITLAB_WRITE_DATABASE_URL')
    .option('--ci', "for CI's own database: the tables of CI alone")
    .action((options: GrantsOptions) => grants(terminal, options));
  gitlab
    .command('check')
    .description("look at GitLab's database as the server does; changes nothing, and needs no server")
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) => check(terminal, json === true));
  return gitlab;
}

/** Omnibus' name of the database. */
const USUAL_DATABASE = 'gitlabhq_production';

async function grants({ stdout, stderr, environment }: Terminal, options: GrantsOptions): Promise<void> {
  const { printGrants } = await import('../../store/source/gitlab/grants.ts');
  const url = readGitlabUrl(environment, options.ci === true ? 'ci_database_url' : 'database_url');
  const catalog = url === null ? null : await askCatalog(url, stderr);
  const read = url === null ? null : readDatabaseUrl(url);
  const name = read !== null && 'label' in read ? read.label.split('/').at(-1) : undefined;
  stdout(
    printGrants(
      {
        role: options.role,
        writeRole: options.writeRole ?? null,
        database: options.ci === true ? 'ci' : 'main',
        databaseName: name || USUAL_DATABASE,
      },
      catalog,
    ),
  );
}

/** Null, and a sentence on stderr, where the database does not answer. */
async function askCatalog(url: string, stderr: (text: string) => void) {
  const [{ openPostgres }, { readCatalog }] = await Promise.all([
    import('../../store/database/postgres.ts'),
    import('../../store/source/gitlab/grants.ts'),
  ]);
  const database = openPostgres(url, { onlyReads: true, pipelinedConnections: 0, maxConnections: 1 });
  try {
    return await readCatalog(database);
  } catch (error) {
    stderr(
      `GitLab's database does not answer (${reasonOf(error)}): this SQL is for the newest GitLab that is known\n`,
    );
    return null;
  } finally {
    await database.close();
  }
}

async function check({ stdout, environment }: Terminal, json: boolean): Promise<void> {
  const { gitlab } = loadConfig(environment);
  if (gitlab === null) {
    throw new CellpassError(
      'invalid',
      "no setting names a GitLab: set CELLPASS_GITLAB_DATABASE_URL, GitLab's database",
    );
  }
  const { checkGitlab } = await import('../doctor/gitlab.ts');
  const checks = await checkGitlab(gitlab, () => new Date());
  stdout(json ? toJsonLine({ checks }) : printFindings(checks));
  refuseIfFailed(checks);
}
