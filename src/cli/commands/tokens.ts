import { Command, Option } from 'commander';
import type { TokenView } from '../../http/types.ts';
import { ACTIONS, type Action } from '../../policy/role.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { type PageFlags, readMoment, sayWhereToGoOn, withPageOptions } from '../client/option-values.ts';
import { cuttable, printTableOr, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';
import { addTokenCreate, TOKEN_KINDS } from './token-create.ts';
import { addTokenIdentify } from './token-identify.ts';

export function tokenCommand(terminal: Terminal): Command {
  const token = new Command('token').description('manage access tokens and deploy tokens');
  addTokenCreate(token, terminal);
  addTokenList(token, terminal);
  addTokenRevoke(token, terminal);
  addTokenIdentify(token, terminal);
  return token;
}

const OWNER_STATES = [
  'active',
  'blocked',
  'locked',
  'unconfirmed',
  'deactivated',
  'internal',
] as const satisfies readonly TokenView['owner_state'][];
type OwnerState = (typeof OWNER_STATES)[number];

const LIST_EXAMPLES = `
A token must match every option that is given.

Examples:
  cellpass token list --expires-before 2027-01-31                  (what must be renewed?)
  cellpass token list --unused-since 90d --never-expires           (what may be forgotten?)
  cellpass token list --owner-state blocked --scope write_registry (what would work again?)
  cellpass token list --owner builder --can push --under acme      (what can a service account push?)`;

interface ListOptions extends PageFlags {
  readonly user?: string;
  readonly project?: string;
  readonly group?: string;
  readonly kind?: TokenView['kind'];
  readonly can?: Action;
  readonly under?: string;
  readonly expiresBefore?: string;
  readonly unusedSince?: string;
  readonly neverExpires?: boolean;
  readonly scope?: string;
  readonly owner?: string;
  readonly ownerState?: OwnerState;
}

function addTokenList(token: Command, terminal: Terminal): void {
  const list = token
    .command('list')
    .description('list every token with its owner, prefix, routing, last use and end; never its secret')
    .option('--user <name>', 'personal tokens of this user')
    .option('--project <path>', 'tokens of this project')
    .option('--group <path>', 'tokens of this group')
    .addOption(new Option('--kind <kind>', 'tokens of this kind').choices(TOKEN_KINDS))
    .addOption(new Option('--can <action>', 'tokens that may do this now').choices(ACTIONS))
    .option('--under <group>', 'with --can: on a project below this group')
    .option('--expires-before <date>', 'tokens that expire before this date or time, or have expired')
    .option(
      '--unused-since <date>',
      'tokens that nobody used since this date or time, or for so long: 90d; never used: since they were created',
      readMoment,
    )
    .option('--never-expires', 'tokens that never expire')
    .option('--scope <scope>', 'tokens with this scope, such as write_registry')
    .option('--owner <name>', 'tokens of any kind that act as this user, service account or bot')
    .addOption(new Option('--owner-state <state>', 'tokens whose owner is so').choices(OWNER_STATES));
  withAdminOptions(withPageOptions(list))
    .addHelpText('after', LIST_EXAMPLES)
    .action(async (options: ListOptions) => {
      const page = await showAnswer(terminal, options, {
        fetch: (client) => fetchTokens(client, options),
        print: ({ tokens }) => printTokens(tokens),
      });
      sayWhereToGoOn(terminal, `the first ${page.tokens.length}`, page.next);
    });
}

function addTokenRevoke(token: Command, terminal: Terminal): void {
  const revoke = token
    .command('revoke')
    .description('revoke a token for good; the server refuses it from now on')
    .argument('<id>', 'its id, as "cellpass token list" shows it');
  withAdminOptions(revoke).action(async (id: string, flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) =>
        dataOf(await api.POST('/admin/v1/tokens/{id}/revoke', { params: { path: { id } } })),
      print: (revoked) => `${id} (${describeOwner(revoked)}) is revoked, and refused from now on\n`,
    });
  });
}

interface PrintedTokens {
  readonly tokens: readonly TokenView[];
  readonly next?: string;
}

async function fetchTokens({ api }: AdminClient, options: ListOptions): Promise<PrintedTokens> {
  const { user, project, group, kind, can, under, limit, after } = options;
  const { expiresBefore, unusedSince, neverExpires, scope, owner, ownerState } = options;
  const filter = {
    ...(user !== undefined && { user }),
    ...(project !== undefined && { project }),
    ...(group !== undefined && { group }),
    ...(kind !== undefined && { kind }),
    ...(can !== undefined && { can }),
    ...(under !== undefined && { under }),
    ...(expiresBefore !== undefined && { expires_before: expiresBefore }),
    ...(unusedSince !== undefined && { unused_since: unusedSince }),
    ...(neverExpires !== undefined && { never_expires: neverExpires }),
    ...(scope !== undefined && { scope }),
    ...(owner !== undefined && { owner }),
    ...(ownerState !== undefined && { owner_state: ownerState }),
  };
  const { entries, ...place } = await fetchPages(
    limit,
    async (place) => {
      const page = dataOf(await api.GET('/admin/v1/tokens', { params: { query: { ...filter, ...place } } }));
      return { entries: page.tokens, next: page.next };
    },
    after,
  );
  return { tokens: entries, ...place };
}

const COLUMNS = [
  whole('ID'),
  whole('KIND'),
  cuttable('OF'),
  cuttable('NAME'),
  cuttable('SCOPES'),
  whole('PREFIX'),
  cuttable('ROUTING'),
  whole('LAST USED'),
  whole('EXPIRES'),
  whole('STATE'),
];

function printTokens(tokens: readonly TokenView[]): string {
  const rows = tokens.map((token) => [
    token.id,
    token.kind,
    describeOwner(token),
    token.name ?? '-',
    token.scopes.join(','),
    token.prefix ?? '-',
    printRouting(token.routing),
    token.last_used_at === null ? 'never' : toMinute(token.last_used_at),
    printExpiry(token.expires_at),
    stateOf(token),
  ]);
  return printTableOr('no token matches', COLUMNS, rows);
}

/** `alice`, `acme/api as developer`, `puller for acme`. GitLab does not say which role a bot has. */
function describeOwner({ kind, username, projects, group, role, identity }: TokenView): string {
  if (identity !== undefined) return `${username} by ${identity}`;
  const place = group ?? projects.join(',');
  if (kind === 'personal') return username;
  if (kind === 'deploy') return `${username} for ${place || 'no project'}`;
  return role === null ? place || username : `${place} as ${role}`;
}

function printRouting(routing: TokenView['routing']): string {
  if (routing === null) return '-';
  return Object.entries(routing)
    .map(([key, value]) => `${key}:${value}`)
    .join(',');
}

const DATE_LENGTH = 'yyyy-mm-dd'.length;

/** An access token expires on a day, a deploy token at a moment. */
function printExpiry(expiresAt: string | null): string {
  if (expiresAt === null) return 'never';
  return expiresAt.length === DATE_LENGTH ? expiresAt : toMinute(expiresAt);
}

/** What refuses the token, the lasting cause first. */
function stateOf({ revoked, expires_at, owner_state }: TokenView): string {
  if (revoked) return 'revoked';
  if (expires_at !== null && new Date(expires_at) <= new Date()) return 'expired';
  return owner_state === null || owner_state === 'active' ? 'active' : `owner ${owner_state}`;
}
