import { Command, Option } from 'commander';
import { splitWords } from '../../config/settings.ts';
import type { Explanation } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { type AdminFlags, adminUrlOption } from '../client/admin-route.ts';
import { collect } from '../client/option-values.ts';

interface ExplainOptions extends AdminFlags {
  readonly as?: string;
  readonly scope?: readonly string[];
  readonly tokenScopes?: string;
  readonly ip?: string;
  readonly at?: string;
  readonly request?: string;
  readonly json?: boolean;
}

const EXAMPLES = `
Examples:
  cellpass explain --as user:alice --scope repository:acme/platform/api:pull,push
  cellpass explain --as user:alice --token-scopes read_registry --scope repository:acme/web:push
  cellpass explain --as deploy-token:puller --ip 203.0.113.7 --at 2027-01-31T00:00:00Z --scope repository:acme/web:pull
  cellpass explain --request 5f0c3b1e-2f0c-4f0e-9d52-0a8f5a3c6a11   (the id at the end of the client's error)`;

export function explainCommand(terminal: Terminal): Command {
  return new Command('explain')
    .description('why a scope is granted or not, rule by rule')
    .addOption(
      new Option('--as <who>', 'user:NAME, token:ID, deploy-token:NAME, job:ID or anonymous').conflicts(
        'request',
      ),
    )
    .option('--scope <scope>', 'what is asked; may be repeated', collect)
    .option('--token-scopes <scopes>', 'as if by a token with these scopes, separated by commas')
    .option('--ip <address>', "the client's address (default: 127.0.0.1)")
    .option('--at <time>', 'the moment, such as 2027-01-31T00:00:00Z (default: now)')
    .option('--request <id>', 'a refusal that happened, with its facts as they were')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .addHelpText('after', EXAMPLES)
    .action(async (options: ExplainOptions, command: Command) => {
      if (options.request === undefined && (options.as === undefined || options.scope === undefined)) {
        command.error('error: give --as WHO with one --scope or more, or --request ID', { exitCode: 2 });
      }
      await withAdmin(terminal, options, async (client) => {
        const explanation = await ask(client, options);
        terminal.stdout(options.json ? `${JSON.stringify(explanation)}\n` : printExplanation(explanation));
      });
    });
}

async function ask({ api }: AdminClient, options: ExplainOptions): Promise<Explanation> {
  if (options.request !== undefined) {
    return dataOf(await api.GET('/admin/v1/refusals/{id}', { params: { path: { id: options.request } } }));
  }
  const { as = '', scope = [], tokenScopes, ip, at } = options;
  const body = {
    as,
    scopes: [...scope],
    ...(tokenScopes !== undefined && { token_scopes: splitWords(tokenScopes) }),
    ...(ip !== undefined && { ip }),
    ...(at !== undefined && { at }),
  };
  return dataOf(await api.POST('/admin/v1/explain', { body }));
}

/** For people: the outcome first, then each action with its reason, and what would help. */
function printExplanation(explanation: Explanation): string {
  const { subject, refusal, client_address, at, scopes, dropped } = explanation;
  const lines = [
    `${describeSubject(subject)}, from ${client_address || 'an unknown address'}, at ${at}`,
    refusal === null
      ? 'answer: a token'
      : `answer: ${refusal.status} ${refusal.code}: ${refusal.message} (${refusal.reason})`,
    ...scopes.flatMap((scope) => ['', ...printScope(scope)]),
    ...dropped.flatMap(({ scope, because }) => ['', scope, `  left out, as if not asked: ${because}`]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function describeSubject(subject: Explanation['subject']): string {
  if (subject === null) return 'nobody: the credentials were refused';
  if (subject.kind === 'anonymous') return 'anonymous';
  const scopes =
    subject.token_scopes === null ? '' : ` with scopes ${subject.token_scopes.join(', ') || '(none)'}`;
  return `${subject.kind.replace('_', ' ')} ${subject.name || '(no user)'} by ${subject.auth_type}${scopes}`;
}

const OUTCOMES: Record<Explanation['scopes'][number]['actions'][number]['verdict'], string> = {
  grant: 'granted',
  refuse: 'refused',
  forbid: 'refused, and the whole request with it',
};

function printScope({ scope, project, actions }: Explanation['scopes'][number]): readonly string[] {
  const head = project === null ? scope : `${scope}   (project ${project})`;
  return [head, ...actions.flatMap(printAction)];
}

function printAction({
  action,
  verdict,
  rule,
  because,
  rules,
  needs,
}: Explanation['scopes'][number]['actions'][number]): readonly string[] {
  return [
    `  ${action}: ${OUTCOMES[verdict]} by ${rule}: ${because}`,
    `    looked at: ${rules.map((looked) => looked.rule).join(', ')}`,
    ...needs.map((need) => `    needs: ${need.needs}`),
  ];
}
