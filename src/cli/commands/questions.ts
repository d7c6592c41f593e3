import { Argument, Command, Option } from 'commander';
import type { WhatCan, WhoCan } from '../../http/types.ts';
import { ACTIONS, type Action } from '../../policy/role.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { limitOption } from '../client/option-values.ts';
import { cuttable, printTableOr, whole } from '../client/table.ts';

interface PageOptions extends JsonFlags {
  readonly limit: number;
  readonly after?: string;
}
interface WhoOptions extends PageOptions {
  readonly reasons?: boolean;
}
interface WhatOptions extends PageOptions {
  readonly action?: Action;
  readonly under?: string;
  readonly onlyGrantedByRole?: boolean;
}

const USUAL_LIMIT = 100;

function withPageOptions(command: Command): Command {
  command
    .addOption(limitOption().default(USUAL_LIMIT))
    .option('--after <cursor>', 'begin after the page whose "next" this is');
  return withAdminOptions(command);
}

const WHO_EXAMPLES = `
Examples:
  cellpass who-can push acme/platform/api
  cellpass who-can pull acme/platform/api --reasons`;

export function whoCanCommand(terminal: Terminal): Command {
  const command = new Command('who-can')
    .description('list who may do an action on a repository now: people, bots, deploy tokens, jobs')
    .addArgument(new Argument('<action>', 'the action').choices(ACTIONS))
    .argument('<repository>', 'the path of a project, or of an image below it')
    .option('--reasons', 'print why, too (JSON always has it)');
  return withPageOptions(command)
    .addHelpText('after', WHO_EXAMPLES)
    .action(async (action: Action, repository: string, options: WhoOptions) => {
      const { next } = await showAnswer(terminal, options, {
        fetch: (client) => fetchWho(client, { action, repository }, options),
        print: (answer) => printWho(answer, options.reasons === true),
      });
      noteMore(terminal, next);
    });
}

const WHAT_EXAMPLES = `
Examples:
  cellpass what-can user:alice
  cellpass what-can token:12 --action push --under acme
  cellpass what-can deploy-token:puller --only-granted-by-role`;

export function whatCanCommand(terminal: Terminal): Command {
  const command = new Command('what-can')
    .description('list the repositories that a subject may reach now, and what it may do there')
    .argument('<subject>', 'user:NAME, token:ID, deploy-token:NAME, identity:NAME or job:ID')
    .addOption(new Option('--action <action>', 'only where it may do this').choices(ACTIONS))
    .option('--under <group>', 'only repositories below this group')
    .option('--only-granted-by-role', 'leave out what is only public or internal');
  return withPageOptions(command)
    .addHelpText('after', WHAT_EXAMPLES)
    .action(async (subject: string, options: WhatOptions) => {
      const { next } = await showAnswer(terminal, options, {
        fetch: (client) => fetchWhat(client, subject, options),
        print: printWhat,
      });
      noteMore(terminal, next);
    });
}

function noteMore(terminal: Terminal, next: string | undefined): void {
  if (next !== undefined) terminal.stderr(`there are more: use --limit, or --after '${next}'\n`);
}

async function fetchWho(
  { api }: AdminClient,
  asked: { readonly action: Action; readonly repository: string },
  { limit, after }: WhoOptions,
): Promise<WhoCan> {
  let first: WhoCan | undefined;
  const { entries, ...place } = await fetchPages(
    limit,
    async (place) => {
      const page = dataOf(await api.GET('/admin/v1/who-can', { params: { query: { ...asked, ...place } } }));
      first ??= page;
      return { entries: page.subjects, next: page.next };
    },
    after,
  );
  const { repository = asked.repository, addresses } = first ?? {};
  return {
    repository,
    action: asked.action,
    subjects: entries,
    ...(addresses && { addresses }),
    ...place,
  };
}

async function fetchWhat(
  { api }: AdminClient,
  subject: string,
  { limit, after, action, under, onlyGrantedByRole }: WhatOptions,
): Promise<WhatCan> {
  const asked = {
    subject,
    ...(action !== undefined && { action }),
    ...(under !== undefined && { under }),
    ...(onlyGrantedByRole === true && { only_granted_by_role: true }),
  };
  let reason: string | undefined;
  const { entries, ...place } = await fetchPages(
    limit,
    async (place) => {
      const page = dataOf(await api.GET('/admin/v1/what-can', { params: { query: { ...asked, ...place } } }));
      reason = page.reason;
      return { entries: page.repositories, next: page.next };
    },
    after,
  );
  return { subject, repositories: entries, ...(reason && { reason }), ...place };
}

function printWho({ repository, action, subjects, addresses }: WhoCan, hasReasons: boolean): string {
  const columns = [
    whole('KIND'),
    whole('NAME'),
    whole('CREDENTIAL'),
    ...(hasReasons ? [whole('REASON')] : []),
  ];
  const rows = subjects.map(({ kind, name, credential, reason }) => [
    ...[kind, name, credential ?? '-'],
    ...(hasReasons ? [reason] : []),
  ]);
  const from = addresses === undefined ? '' : `only from ${addresses.join(', ')}\n`;
  return `${printTableOr(`nobody may ${action} on ${repository}`, columns, rows)}${from}`;
}

function printWhat({ subject, repositories, reason }: WhatCan): string {
  const nothing = `${subject} reaches nothing${reason === undefined ? '' : `: ${reason}`}`;
  const rows = repositories.map(({ path, actions, reason: why }) => [path, actions.join(','), why]);
  return printTableOr(nothing, [whole('REPOSITORY'), whole('ACTIONS'), cuttable('REASON')], rows);
}
