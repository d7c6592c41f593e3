import type { Command } from 'commander';
import { TOKEN_FORM } from '../../authn/credential-kinds.ts';
import { readRoutableToken } from '../../cells/routable-token.ts';
import { CellpassError } from '../../errors.ts';
import type { WhoseSecretView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf, withAdmin } from '../client/admin-client.ts';
import { toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { readTextFile } from '../client/read-file.ts';

const EXAMPLES = `
Examples:
  cellpass token identify < leaked.txt
  jq -r .token report.json | cellpass token identify --json`;

const AS_ARGUMENT =
  'give the secret on standard input, not as an argument: other users of this machine can see arguments, and the shell keeps them. Take the secret that you gave for known, and revoke it if it is in use';

export function addTokenIdentify(token: Command, terminal: Terminal): void {
  const identify = token
    .command('identify')
    .description('say whose secret this is, which comes from standard input; exit code 1 if it is no token’s')
    // Declared to be refused: commander's own message would not say what to do.
    .argument('[secret...]')
    .usage('[options] < FILE');
  withAdminOptions(identify)
    .addHelpText('after', EXAMPLES)
    .action(async (given: readonly string[], { json = false, ...flags }: JsonFlags) => {
      if (given.length > 0) identify.error(`error: ${AS_ARGUMENT}`, { exitCode: 2 });
      const secret = readSecret(terminal);
      const found = await withAdmin(terminal, flags, async ({ api }) =>
        dataOf(await api.POST('/admin/v1/tokens/identify', { body: { secret } })),
      );
      if (json) terminal.stdout(toJsonLine(found));
      const { kind, ...facts } = found;
      if (kind === null) throw new CellpassError('not_found', whyUnknown(secret));
      if (!json) terminal.stdout(describe(kind, facts));
    });
}

/** @throws {CellpassError} `invalid` when there is none. */
function readSecret({ stderr, confirm }: Terminal): string {
  if (confirm !== undefined) stderr('paste the secret, then press Enter and Ctrl-D\n');
  const secret = readTextFile(0).trim();
  if (secret === '') throw new CellpassError('invalid', 'give the secret on standard input');
  return secret;
}

type Kind = NonNullable<WhoseSecretView['kind']>;

/** `access-12: personal token of alice, active, names cell 1` */
function describe(
  kind: Kind,
  { id, owner, state, cell, projects = [], group, identity }: Omit<WhoseSecretView, 'kind'>,
): string {
  const whom = owner ?? 'no user';
  const place = group ?? (projects.join(', ') || 'no project');
  const facts: Readonly<Record<Kind, string>> = {
    personal: `personal token of ${whom}`,
    project: `project token of ${place}, which acts as ${whom}`,
    group: `group token of ${place}, which acts as ${whom}`,
    deploy: `deploy token ${whom} for ${place}`,
    job: `token of a job of ${place}, run by ${whom}`,
    admin: `admin token ${whom}`,
    exchanged: `token of ${whom}, given to the federated identity ${identity}`,
  };
  const names = cell === undefined ? '' : `, names cell ${cell}`;
  return `${id}: ${facts[kind]}, ${state?.replace('owner_', 'owner ')}${names}\n`;
}

const JWT = /^eyJ[\w-]*\.[\w-]+\.[\w-]*$/;

/** Why nothing was found, by the form of the secret. */
function whyUnknown(secret: string): string {
  if (JWT.test(secret))
    return 'this is a JWT: an ID token is not identified, and "cellpass explain" says what it would be granted';
  const reading = readRoutableToken(secret);
  if (reading.kind === 'damaged')
    return 'no token has this secret: its checksum is wrong, so a part of it may be missing';
  if (reading.kind === 'routable' && reading.routing.c !== undefined)
    return `no token of this cell has this secret, which names cell ${reading.routing.c}`;
  if (TOKEN_FORM.test(secret) || secret.startsWith('cpat-')) return 'no token has this secret';
  return 'no token has this secret; if it is a password: passwords are not identified';
}
