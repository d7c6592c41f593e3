import { Command } from 'commander';
import { CellpassError } from '../../errors.ts';
import type { Terminal } from '../../terminal.ts';
import { toJsonLine } from '../client/admin-command.ts';
import type { Finding } from '../doctor/finding.ts';

export function doctorCommand(terminal: Terminal): Command {
  return new Command('doctor')
    .description(
      'check settings, database, keys, certificates, clocks, realm and registries; changes nothing, and needs no running server',
    )
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      // Loaded on demand, so that other commands start in a third of the time.
      const { examine } = await import('../doctor/examine.ts');
      const checks = await examine(terminal, () => new Date());
      terminal.stdout(json ? toJsonLine({ checks: checks.map(toJson) }) : printFindings(checks));
      refuseIfFailed(checks);
    });
}

const MARKS: Record<Finding['outcome'], string> = { ok: 'ok  ', warning: 'warn', failed: 'FAIL' };

/** A line for each finding, and one for each problem where there are several. */
export function printFindings(findings: readonly Finding[]): string {
  return findings
    .map(({ name, outcome, message, problems = [] }) =>
      problems.length > 1
        ? `${MARKS[outcome]}  ${name}:\n${problems.map((problem) => `        ${problem}\n`).join('')}`
        : `${MARKS[outcome]}  ${name}: ${message}\n`,
    )
    .join('');
}

function toJson({ name, outcome, message }: Finding): Finding {
  return { name, outcome, message };
}

/** @throws {CellpassError} `conflict` with the names of the checks that failed. */
export function refuseIfFailed(findings: readonly Finding[]): void {
  const failed = findings.filter(({ outcome }) => outcome === 'failed').map(({ name }) => name);
  if (failed.length === 0) return;
  const count = failed.length === 1 ? '1 check' : `${failed.length} checks`;
  throw new CellpassError('conflict', `${count} failed (${failed.join('; ')}): each message says what to do`);
}
