import { Command, Option } from 'commander';
import { ADMIN_ROLES, type AdminRole } from '../../authn/admin-role.ts';
import type { AdminTokenBody } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf, withAdmin } from '../client/admin-client.ts';
import { showAnswer, toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { cuttable, printTableOr, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';

interface CreateFlags extends JsonFlags {
  readonly name: string;
  readonly role: AdminRole;
  readonly expiresAt?: string;
}

export function adminTokenCommand(terminal: Terminal): Command {
  const adminToken = new Command('admin-token').description('manage credentials for the admin API over TCP');
  addCreate(adminToken, terminal);
  addList(adminToken, terminal);
  addRevoke(adminToken, terminal);
  return adminToken;
}

function addCreate(adminToken: Command, terminal: Terminal): void {
  withAdminOptions(
    adminToken
      .command('create')
      .description('create an admin token and print its secret once; works only on the host of the server')
      .requiredOption('--name <name>', 'the name of its user in the history of changes')
      .addOption(
        new Option(
          '--role <role>',
          'what it may do: read asks and scrapes, directory also changes the directory, keys also rotates, all does everything',
        )
          .choices(ADMIN_ROLES)
          .default('read'),
      )
      .option(
        '--expires-at <date>',
        'when the token expires, such as 2027-01-31 or 2027-01-31T12:00:00Z (default: never)',
      ),
  ).action(({ name, role, expiresAt, json, ...flags }: CreateFlags) =>
    withAdmin(terminal, flags, async ({ api }) => {
      const body = { name, role, ...(expiresAt !== undefined && { expires_at: expiresAt }) };
      const created = dataOf(await api.POST('/admin/v1/admin-tokens', { body }));
      if (!json) {
        terminal.stderr(
          `admin token ${created.id} (${created.name}), ${endOf(created)}; its role is ${created.role}, and the secret is not shown again\n`,
        );
      }
      terminal.stdout(json ? toJsonLine(created) : `${created.token}\n`);
    }),
  );
}

function addList(adminToken: Command, terminal: Terminal): void {
  withAdminOptions(
    adminToken.command('list').description('list every admin token, without its secret'),
  ).action(async (flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) => dataOf(await api.GET('/admin/v1/admin-tokens')),
      print: (list) => printAdminTokens(list.admin_tokens),
    });
  });
}

function addRevoke(adminToken: Command, terminal: Terminal): void {
  withAdminOptions(
    adminToken
      .command('revoke')
      .description('revoke an admin token; the server refuses it from now on')
      .argument('<id>', 'its number, as "cellpass admin-token list" shows it'),
  ).action(async (id: string, flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) => {
        const params = { path: { id: Number(id) } };
        return dataOf(await api.POST('/admin/v1/admin-tokens/{id}/revoke', { params }));
      },
      print: (revoked) => `${revoked.name} (${revoked.id}): ${endOf(revoked)}\n`,
    });
  });
}

const COLUMNS = [
  whole('ID'),
  cuttable('NAME'),
  whole('ROLE'),
  whole('END'),
  whole('LAST USED'),
  whole('CREATED'),
  cuttable('BY'),
];

function printAdminTokens(tokens: readonly AdminTokenBody[]): string {
  const rows = tokens.map((token) => [
    String(token.id),
    token.name,
    token.role,
    endOf(token),
    token.last_used_at === null ? 'never' : toMinute(token.last_used_at),
    toMinute(token.created_at),
    token.created_by,
  ]);
  return printTableOr('there is no admin token', COLUMNS, rows);
}

function endOf({ revoked_at, expires_at }: Pick<AdminTokenBody, 'revoked_at' | 'expires_at'>): string {
  if (revoked_at !== null) return `revoked at ${toMinute(revoked_at)}`;
  return expires_at === null ? 'never expires' : `expires at ${toMinute(expires_at)}`;
}
