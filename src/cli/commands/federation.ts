import { Command } from 'commander';
import type { IdentityView, IssuerListView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { type PageFlags, sayWhereToGoOn, withPageOptions } from '../client/option-values.ts';
import { cuttable, printTable, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';

export function federationCommand(terminal: Terminal): Command {
  const federation = new Command('federation').description(
    'manage login by ID tokens of other issuers, such as GitHub Actions',
  );
  addList(federation, terminal);
  addRevoke(federation, terminal);
  addRestore(federation, terminal);
  return federation;
}

interface Listed extends IssuerListView {
  readonly identities: readonly IdentityView[];
  readonly next?: string;
}

function addList(federation: Command, terminal: Terminal): void {
  const list = federation
    .command('list')
    .description('list the issuers with the state of their keys, and the identities with what they pin');
  withAdminOptions(withPageOptions(list)).action(async (options: PageFlags) => {
    const { identities, next } = await showAnswer(terminal, options, {
      fetch: (client) => fetchList(client, options),
      print: printList,
    });
    sayWhereToGoOn(terminal, `the first ${identities.length} identities`, next);
  });
}

async function fetchList({ api }: AdminClient, { limit, after }: PageFlags): Promise<Listed> {
  const { issuers } = dataOf(await api.GET('/admin/v1/federation/issuers'));
  const { entries: identities, ...rest } = await fetchPages(
    limit,
    async (place) => {
      const answer = await api.GET('/admin/v1/federation/identities', { params: { query: place } });
      const page = dataOf(answer);
      return { entries: page.identities, next: page.next };
    },
    after,
  );
  return { issuers, identities, ...rest };
}

const ISSUER_COLUMNS = [
  whole('ISSUER'),
  cuttable('ISS'),
  cuttable('AUDIENCE'),
  whole('KEYS'),
  whole('FETCHED'),
  cuttable('PROBLEM'),
];
const IDENTITY_COLUMNS = [
  whole('IDENTITY'),
  whole('ISSUER'),
  cuttable('ACCOUNT'),
  cuttable('SCOPES'),
  cuttable('CLAIMS'),
  whole('EXPIRES'),
  whole('STATE'),
];

function printList({ issuers, identities }: Listed): string {
  const issuerRows = issuers.map(({ name, issuer, audience, keys, age_seconds, problem }) => [
    name,
    issuer,
    audience,
    String(keys),
    age_seconds === null ? 'never' : `${age_seconds} s ago`,
    problem ?? '-',
  ]);
  const identityRows = identities.map((identity) => [
    identity.name,
    identity.issuer,
    describeAccount(identity),
    identity.scopes.join(','),
    describeClaims(identity.claims),
    identity.expires_at ?? 'never',
    identity.revoked_at === null ? 'active' : `revoked ${toMinute(identity.revoked_at)}`,
  ]);
  return `${printTable(ISSUER_COLUMNS, issuerRows)}\n${printTable(IDENTITY_COLUMNS, identityRows)}`;
}

function describeAccount({ account, project, group }: IdentityView): string {
  const place = project ?? group;
  return place === null ? account : `bot of ${place}`;
}

function describeClaims(claims: IdentityView['claims']): string {
  return Object.entries(claims)
    .map(([name, pin]) => `${name}=${typeof pin === 'string' ? pin : JSON.stringify(pin)}`)
    .join(' ');
}

interface RevokeOptions extends JsonFlags {
  readonly issuer?: string;
  readonly jti?: string;
}

const EXAMPLES = `
Examples:
  cellpass federation revoke api-release
  cellpass federation revoke --issuer github --jti 6f2a0c1e-5d1b-4a0e-9a1f-2d8a3f0a7c11`;

function addRevoke(federation: Command, terminal: Terminal): void {
  const revoke = federation
    .command('revoke')
    .description(
      'refuse all ID tokens of an identity, or a single ID token, and end the access tokens that they were exchanged for',
    )
    .argument('[identity]', 'the name of the identity, as "cellpass federation list" shows it')
    .option('--issuer <name>', 'with --jti: the name of the issuer in the settings')
    .option('--jti <id>', 'the claim jti of one ID token, as the audit record shows it');
  withAdminOptions(revoke)
    .addHelpText('after', EXAMPLES)
    .action(async (identity: string | undefined, options: RevokeOptions, command: Command) => {
      const { issuer, jti, ...flags } = options;
      const isOneToken = issuer !== undefined && jti !== undefined;
      if (isOneToken === (identity !== undefined) || (issuer === undefined) !== (jti === undefined)) {
        command.error('error: give the name of an identity, or --issuer and --jti', { exitCode: 2 });
      }
      if (isOneToken) await revokeToken(terminal, flags, { issuer, jti });
      else await revokeIdentity(terminal, flags, identity ?? '');
    });
}

async function revokeIdentity(terminal: Terminal, flags: JsonFlags, name: string): Promise<void> {
  await showAnswer(terminal, flags, {
    fetch: async ({ api }) =>
      dataOf(await api.POST('/admin/v1/federation/identities/{name}/revoke', { params: { path: { name } } })),
    print: ({ ended_tokens }) =>
      `${name} is revoked: its ID tokens are refused from now on, and ${count(ended_tokens)} ended; "cellpass federation restore ${name}" undoes this\n`,
  });
}

async function revokeToken(
  terminal: Terminal,
  flags: JsonFlags,
  body: { readonly issuer: string; readonly jti: string },
): Promise<void> {
  await showAnswer(terminal, flags, {
    fetch: async ({ api }) => dataOf(await api.POST('/admin/v1/federation/id-tokens/revoke', { body })),
    print: ({ issuer, jti, ended_tokens, kept_until }) =>
      `the ID token ${jti} of ${issuer} is refused from now on, and ${count(ended_tokens)} ended; this is kept until ${toMinute(kept_until)}\n`,
  });
}

function count(tokens: number): string {
  return tokens === 1 ? '1 exchanged access token' : `${tokens} exchanged access tokens`;
}

function addRestore(federation: Command, terminal: Terminal): void {
  const restore = federation
    .command('restore')
    .description('accept the ID tokens of an identity again that was revoked')
    .argument('<identity>', 'its name');
  withAdminOptions(restore).action(async (name: string, flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) =>
        dataOf(
          await api.POST('/admin/v1/federation/identities/{name}/restore', { params: { path: { name } } }),
        ),
      print: () => `${name} is accepted again; access tokens that ended with it stay revoked\n`,
    });
  });
}
