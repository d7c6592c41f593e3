import { type Command, Option } from 'commander';
import { splitWords } from '../../config/settings.ts';
import type { MintedTokenView, TokenOrderInput } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf, withAdmin } from '../client/admin-client.ts';
import { toJsonLine, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { collect } from '../client/option-values.ts';

export const TOKEN_KINDS = ['personal', 'project', 'group', 'deploy'] as const;
type Kind = (typeof TOKEN_KINDS)[number];

interface CreateOptions extends JsonFlags {
  readonly kind: Kind;
  readonly scopes: string;
  readonly user?: string;
  readonly project?: readonly string[];
  readonly group?: string;
  readonly role?: string;
  readonly username?: string;
  readonly name?: string;
  readonly expiresAt?: string;
}

type OwnerOption = 'user' | 'project' | 'group' | 'role' | 'username';

/** The options that each kind needs or takes, beside the options of every kind. */
const OPTIONS: Record<
  Kind,
  { readonly needs: readonly OwnerOption[]; readonly takes: readonly OwnerOption[] }
> = {
  personal: { needs: ['user'], takes: [] },
  project: { needs: ['project', 'role'], takes: [] },
  group: { needs: ['group', 'role'], takes: [] },
  deploy: { needs: [], takes: ['project', 'group', 'username'] },
};
const OWNER_OPTIONS: readonly OwnerOption[] = ['user', 'project', 'group', 'role', 'username'];

const EXAMPLES = `
Examples:
  cellpass token create --kind personal --user alice --scopes read_registry,write_registry --name laptop
  cellpass token create --kind project --project acme/web --role developer --scopes api --name ci
  cellpass token create --kind group --group acme --role reporter --scopes read_registry --name mirror
  cellpass token create --kind deploy --project acme/web --project acme/api --scopes read_registry --username puller`;

export function addTokenCreate(token: Command, terminal: Terminal): void {
  const create = token
    .command('create')
    .description('create a token that names this cell, and print its secret once')
    .addOption(
      new Option('--kind <kind>', 'the kind of its owner').choices(TOKEN_KINDS).makeOptionMandatory(),
    )
    .option('--user <name>', 'the user of a personal token')
    .option(
      '--project <path>',
      'the project of a project token, or a project of a deploy token; may be repeated for a deploy token',
      collect,
    )
    .option('--group <path>', 'the group of a group token or a deploy token')
    .option('--role <role>', 'the role of a project or group token, such as developer')
    .option('--username <name>', 'the user name with which clients log in with a deploy token')
    .requiredOption('--scopes <scopes>', 'scopes, separated by commas, such as read_registry,write_registry')
    .option('--name <name>', 'a name that says what the token is for')
    .option(
      '--expires-at <date>',
      'the day on which the token expires; a deploy token also takes a time, as 2027-01-31T12:00:00Z (default, and latest: limits.token_days from now, which is a year unless set)',
    );
  withAdminOptions(create)
    .addHelpText('after', EXAMPLES)
    .action((options: CreateOptions, command: Command) => {
      const mistake = mistakeIn(options);
      if (mistake !== null) command.error(`error: ${mistake}`, { exitCode: 2 });
      return withAdmin(terminal, options, async ({ api }) => {
        const minted = dataOf(await api.POST('/admin/v1/tokens', { body: toOrder(options) }));
        show(terminal, minted, options);
      });
    });
}

/** What is wrong with the combination of options; the server checks their values. */
function mistakeIn(options: CreateOptions): string | null {
  const { kind } = options;
  const { needs, takes } = OPTIONS[kind];
  const given = OWNER_OPTIONS.filter((name) => options[name] !== undefined);
  const mistakes = [
    ...needs.filter((name) => !given.includes(name)).map((name) => `--kind ${kind} needs --${name}`),
    ...given
      .filter((name) => !needs.includes(name) && !takes.includes(name))
      .map((name) => `--${name} does not go with --kind ${kind}`),
    ...(kind === 'project' && (options.project?.length ?? 0) > 1
      ? ['--kind project takes one --project']
      : []),
    ...(kind === 'deploy' && (options.project === undefined) === (options.group === undefined)
      ? ['--kind deploy needs either --project, once or more, or --group']
      : []),
  ];
  return mistakes.length === 0 ? null : mistakes.join('; ');
}

function toOrder({ kind, scopes, user, project, group, role, username, name, expiresAt }: CreateOptions) {
  return {
    kind,
    scopes: splitWords(scopes),
    ...(user !== undefined && { user }),
    ...(project !== undefined &&
      (kind === 'deploy' ? { projects: [...project] } : { project: project[0] ?? '' })),
    ...(group !== undefined && { group }),
    ...(role !== undefined && { role }),
    ...(username !== undefined && { username }),
    ...(name !== undefined && { name }),
    ...(expiresAt !== undefined && { expires_at: expiresAt }),
  } satisfies TokenOrderInput;
}

function endOf(end: string | null, asked: string | undefined): string {
  if (end === null) return 'does not expire';
  return asked === undefined
    ? `expires ${end} (limits.token_days), because --expires-at is missing`
    : `expires ${end}`;
}

/** Prints the secret to stdout, so that it can be piped, and everything else to stderr. */
function show(
  { stdout, stderr }: Terminal,
  minted: MintedTokenView,
  { json = false, expiresAt }: Pick<CreateOptions, 'json' | 'expiresAt'>,
): void {
  stdout(json ? toJsonLine(minted) : `${minted.token}\n`);
  if (!json) {
    const end = endOf(minted.expires_at, expiresAt);
    const login = minted.kind === 'deploy' ? `as ${minted.username}` : 'with any user name';
    stderr(
      `${minted.id}: log in ${login}, and with this secret as the password; it is not shown again, and ${end}\n`,
    );
  }
  if (minted.warning !== null) stderr(`warning: ${minted.warning}\n`);
}
