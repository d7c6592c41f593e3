import type { Command } from 'commander';
import { isRecord } from '../../config/issues.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, withAdmin } from './admin-client.ts';
import { adminUrlOption, type JsonFlags } from './admin-route.ts';

/** Adds the options of every command that prints an answer of the admin API. */
export function withAdminOptions(command: Command): Command {
  return command.option('--json', 'print JSON').addOption(adminUrlOption());
}

/** How a command gets its answer, and prints it for people. */
interface Showing<T> {
  readonly fetch: (client: AdminClient) => Promise<T>;
  readonly print: (answer: T) => string;
}

/**
 * Asks the admin API and prints its answer: one line of JSON with `--json`, else text, and the warning
 * that the answer carries.
 */
export async function showAnswer<T>(
  terminal: Terminal,
  { json, ...flags }: JsonFlags,
  { fetch, print }: Showing<T>,
): Promise<T> {
  const answer = await withAdmin(terminal, flags, fetch);
  terminal.stdout(json ? toJsonLine(answer) : print(answer));
  if (hasWarning(answer)) terminal.stderr(`warning: ${answer.warning}\n`);
  return answer;
}

function hasWarning(answer: unknown): answer is { readonly warning: string } {
  return isRecord(answer) && typeof answer['warning'] === 'string';
}

/** One line of JSON, as `--json` prints it. */
export function toJsonLine(value: unknown): string {
  return `${JSON.stringify(value)}\n`;
}
