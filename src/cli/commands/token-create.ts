import { type Command, Option } from 'commander';
import { splitWords } from '../../config/settings.ts';
import type { MintedTokenView, TokenOrderInput } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf, withAdmin } from '../client/admin-client.ts';
import { type AdminFlags, adminUrlOption } from '../client/admin-route.ts';
import { collect } from '../client/option-values.ts';

export const TOKEN_KINDS = ['personal', 'project', 'group', 'deploy'] as const;
type Kind = (typeof TOKEN_KINDS)[number];

interface CreateOptions extends AdminFlags {
  readonly kind: Kind;
  readonly scopes: string;
  readonly user?: string;
  readonly project?: readonly string[];
  readonly group?: string;
  readonly role?: string;
  readonly username?: string;
  readonly name?: string;
  readonly expiresAt?: string;
  readonly json?: boolean;
}

type OwnerOption = 'user' | 'project' | 'group' | 'role' | 'username';

/** Which options go with which kind, beside those that go with all. */
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
  cellpass token create --kind personal --user alice --scopes read_registry,write_registry --name laptop --expires-at 2027-01-31
  cellpass token create --kind project --project acme/web --role developer --scopes api --name ci
  cellpass token create --kind group --group acme --role reporter --scopes read_registry --name mirror
  cellpass token create --kind deploy --project acme/web --project acme/api --scopes read_registry --username puller`;

export function addTokenCreate(token: Command, terminal: Terminal): void {
  token
    .command('create')
    .description('make a token that names this cell; its secret is printed this once')
    .addOption(new Option('--kind <kind>', 'whose it is').choices(TOKEN_KINDS).makeOptionMandatory())
    .option('--user <name>', 'of a personal token')
    .option('--project <path>', 'of a project token, or of a deploy token, which may have several', collect)
    .option('--group <path>', 'of a group token or a deploy token')
    .option('--role <role>', 'of a project or group token, such as developer')
    .option('--username <name>', 'what clients log in as with a deploy token')
    .requiredOption('--scopes <scopes>', 'separated by commas, such as read_registry,write_registry')
    .option('--name <name>', 'to know it by')
    .option(
      '--expires-at <date>',
      'the day on which it is no longer good; a deploy token also takes a time, as 2027-01-31T12:00:00Z',
    )
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .addHelpText('after', EXAMPLES)
    .action((options: CreateOptions, command: Command) => {
      const mistake = mistakeIn(options);
      if (mistake !== null) command.error(`error: ${mistake}`, { exitCode: 2 });
      return withAdmin(terminal, options, async ({ api }) => {
        const minted = dataOf(await api.POST('/admin/v1/tokens', { body: toOrder(options) }));
        show(terminal, minted, options.json === true);
      });
    });
}

/** Options that don't go together; what they hold is the server's to judge. */
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

/** The secret on stdout, so that it can be piped to where it belongs, and everything else beside it. */
function show({ stdout, stderr }: Terminal, minted: MintedTokenView, json: boolean): void {
  stdout(json ? `${JSON.stringify(minted)}\n` : `${minted.token}\n`);
  if (!json) {
    const end = minted.expires_at === null ? 'does not expire' : `expires ${minted.expires_at}`;
    const login = minted.kind === 'deploy' ? `as ${minted.username}` : 'with any user name';
    stderr(
      `${minted.id}: this is the password to log in with, ${login}; it is not shown again, and ${end}\n`,
    );
  }
  if (minted.warning !== null) stderr(`warning: ${minted.warning}\n`);
}
