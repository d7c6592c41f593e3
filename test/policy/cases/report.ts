import type { CaseRow } from './csv.ts';
import { type CaseServer, type Outcome, prepareCases } from './run.ts';

/**
 * Runs every row and prints those with another outcome than the row says. Resolves with the exit
 * code: 1 if a row failed.
 */
export async function reportOn(
  rows: readonly CaseRow[],
  server: CaseServer,
  print: (line: string) => void,
): Promise<0 | 1> {
  const runner = await prepareCases(server, rows);
  const outcomes: Outcome[] = [];
  for (const row of rows) {
    const outcome = await runner.run(row);
    outcomes.push(outcome);
    const head = outcome.result === 'not_expressible' ? 'not expressible: ' : '';
    for (const line of outcome.lines) print(`${outcome.id}: ${head}${line}`);
  }
  const count = (result: Outcome['result']) => outcomes.filter((outcome) => outcome.result === result).length;
  print(
    `${rows.length} cases: ${count('same')} as written, ${count('differs')} differ, ` +
      `${count('not_understood')} not understood, ${count('not_expressible')} not expressible`,
  );
  return count('differs') + count('not_understood') > 0 ? 1 : 0;
}
