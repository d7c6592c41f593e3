import { Command } from 'commander';
import { readDatabaseUrl } from '../../config/database-url.ts';
import { loadConfig, readGitlabUrl } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import type { ComparisonReportView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf } from '../client/admin-client.ts';
import { showAnswer, toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { readMoment } from '../client/option-values.ts';
import { shortener } from '../client/short-id.ts';
import { printTable, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';
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
    "use a GitLab's own database as the directory: rights, whether all is well, and how Rails differs",
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
    .description(
      "look at GitLab's database and at Rails as the server does; changes nothing, and needs no server",
    )
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) => check(terminal, json === true));
  const differences = new Command('differences')
    .description('list how the answers of GitLab Rails and cellpass differ, the most frequent first')
    .option(
      '--since <time>',
      'comparisons at this time or later, such as 1h, 7d, 2027-01-31 (default: all that are kept)',
      readMoment,
    );
  gitlab.addCommand(
    withAdminOptions(differences).action(async (options: DifferencesOptions) => {
      await showAnswer(terminal, options, {
        fetch: async ({ api }) => dataOf(await api.GET('/admin/v1/gitlab/differences', queryOf(options))),
        print: printReport,
      });
    }),
  );
  return gitlab;
}

interface DifferencesOptions extends JsonFlags {
  readonly since?: string;
}

function queryOf({ since }: DifferencesOptions): { params: { query: { since?: string } } } {
  return { params: { query: since === undefined ? {} : { since } } };
}

function printReport({ groups, ...counts }: ComparisonReportView): string {
  const { compared, equal, differing, expected, unanswered, dropped } = counts;
  const summary = [
    `${compared} requests were compared: ${equal} equal, ${differing} differing, ${expected} expected`,
    `${unanswered} had no answer of both that can be compared, and ${dropped} were left out`,
  ];
  const hints = groups.length === 0 ? [] : ['', 'see one side by side: cellpass explain --request REQUEST'];
  return `${summary.join('\n')}\n${groups.length === 0 ? '' : `\n${printGroups(groups)}`}${hints.map((line) => `${line}\n`).join('')}`;
}

function printGroups(groups: ComparisonReportView['groups']): string {
  const shortRequest = shortener(groups.map(({ request_id }) => request_id));
  const columns = ['COUNT', 'CREDENTIAL', 'ACTION', 'RAILS', 'CELLPASS', 'RULE', 'LAST SEEN', 'REQUEST'];
  const rows = groups.map((group) => [
    String(group.count),
    group.credential,
    group.action || '-',
    printSide(group.rails),
    printSide(group.cellpass),
    group.rule,
    toMinute(group.last_seen),
    shortRequest(group.request_id),
  ]);
  return printTable(columns.map(whole), rows);
}

/** `200 pull,push`; `200 -` for nothing; `403`. */
function printSide({ status, actions }: ComparisonReportView['groups'][number]['rails']): string {
  return status === 200 ? `200 ${actions.join(',') || '-'}` : String(status);
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

async function check(terminal: Terminal, json: boolean): Promise<void> {
  const { environment, stdout } = terminal;
  const config = loadConfig(environment);
  if (config.gitlab === null && config.rails === null) {
    throw new CellpassError(
      'invalid',
      "no setting names a GitLab: set CELLPASS_GITLAB_DATABASE_URL, GitLab's database, or CELLPASS_GITLAB_RAILS_URL",
    );
  }
  const { examineGitlab } = await import('../doctor/examine.ts');
  const checks = await examineGitlab(terminal, config, () => new Date());
  stdout(json ? toJsonLine({ checks }) : printFindings(checks));
  refuseIfFailed(checks);
}
