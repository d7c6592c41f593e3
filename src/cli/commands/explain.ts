import { Command, Option } from 'commander';
import { splitWords } from '../../config/settings.ts';
import type { Explanation } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import type { JsonFlags } from '../client/admin-route.ts';
import { collect } from '../client/option-values.ts';
import { readTextFile } from '../client/read-file.ts';
import { printTable, whole } from '../client/table.ts';

interface ExplainOptions extends JsonFlags {
  readonly as?: string;
  readonly idTokenFile?: string;
  readonly scope?: readonly string[];
  readonly tokenScopes?: string;
  readonly ip?: string;
  readonly at?: string;
  readonly request?: string;
}

const EXAMPLES = `
Examples:
  cellpass explain --as user:alice --scope repository:acme/platform/api:pull,push
  cellpass explain --as user:alice --token-scopes read_registry --scope repository:acme/web:push
  cellpass explain --as deploy-token:puller --ip 203.0.113.7 --at 2027-01-31T00:00:00Z --scope repository:acme/web:pull
  cellpass explain --id-token-file token.jwt --scope repository:acme/web:push
  cellpass explain --request 5f0c3b1e   (the id at the end of the client's error, or its first 8 characters)`;

export function explainCommand(terminal: Terminal): Command {
  const explain = new Command('explain')
    .description('explain why a scope is granted or refused, rule by rule')
    .addOption(
      new Option(
        '--as <subject>',
        'the subject: user:NAME, token:ID (as "token list" shows it: access-12, deploy-3), deploy-token:NAME, job:ID, identity:NAME or anonymous',
      ).conflicts(['request', 'idTokenFile']),
    )
    .addOption(
      new Option(
        '--id-token-file <file>',
        'an ID token: how it is read, and which identity it proves; - for standard input',
      ).conflicts('request'),
    )
    .option('--scope <scope>', 'a scope to ask for; may be repeated', collect)
    .option(
      '--token-scopes <scopes>',
      'as if the subject used a token with these scopes, separated by commas',
    )
    .option('--ip <address>', "the client's address (default: 127.0.0.1)")
    .option('--at <time>', 'the time of the request, such as 2027-01-31T00:00:00Z (default: now)')
    .option(
      '--request <id>',
      'explain this refused request, or one that GitLab Rails answers differently, with the facts of that time',
    );
  return withAdminOptions(explain)
    .addHelpText('after', EXAMPLES)
    .action(async (options: ExplainOptions, command: Command) => {
      const hasSubject = options.as !== undefined || options.idTokenFile !== undefined;
      if (options.request === undefined && (!hasSubject || options.scope === undefined)) {
        const mistake = 'give --as or --id-token-file with one --scope or more, or give --request';
        command.error(`error: ${mistake}`, { exitCode: 2 });
      }
      await showAnswer(terminal, options, {
        fetch: (client) => fetchExplanation(client, options),
        print: printExplanation,
      });
    });
}

async function fetchExplanation({ api }: AdminClient, options: ExplainOptions): Promise<Explanation> {
  if (options.request !== undefined) {
    return dataOf(await api.GET('/admin/v1/refusals/{id}', { params: { path: { id: options.request } } }));
  }
  const { as, idTokenFile, scope = [], tokenScopes, ip, at } = options;
  const body = {
    ...(as !== undefined && { as }),
    ...(idTokenFile !== undefined && { id_token: readIdTokenFile(idTokenFile) }),
    scopes: [...scope],
    ...(tokenScopes !== undefined && { token_scopes: splitWords(tokenScopes) }),
    ...(ip !== undefined && { ip }),
    ...(at !== undefined && { at }),
  };
  return dataOf(await api.POST('/admin/v1/explain', { body }));
}

/**
 * The outcome in a word or two: `refused` with the status where the client gets no token. A scope
 * that was left out counts as asked for. A login, which asks for nothing, is granted.
 */
export function outcomeOf({
  refusal,
  scopes,
  dropped,
}: Pick<Explanation, 'refusal' | 'scopes' | 'dropped'>): string {
  if (refusal !== null) return `refused ${refusal.status}`;
  const verdicts = scopes.flatMap(({ actions }) => actions.map(({ verdict }) => verdict));
  const isWhole = dropped.length === 0 && verdicts.every((verdict) => verdict === 'grant');
  if (isWhole) return 'granted';
  return verdicts.includes('grant') ? 'granted in part' : 'nothing granted';
}

/**
 * Prints the outcome and the answer to the client first, then each action with its reason and with
 * what would help.
 */
function printExplanation(explanation: Explanation): string {
  const { subject, refusal, client_address, at, scopes, dropped, cell, comparison, id_token } = explanation;
  const lines = [
    outcomeOf(explanation),
    `${describeSubject(subject)}, from ${client_address || 'an unknown address'}, at ${at}`,
    refusal === null
      ? 'answer: a token'
      : `answer: ${refusal.status} ${refusal.code}: ${refusal.message} (${refusal.reason})`,
    ...(id_token === undefined ? [] : printIdToken(id_token)),
    ...(cell === undefined ? [] : [`cell: ${cell.because}`]),
    ...scopes.flatMap((scope) => ['', ...printScope(scope)]),
    ...(comparison === undefined ? [] : printComparison(comparison)),
    ...dropped.flatMap(({ scope, because }) => [
      '',
      scope,
      `  left out, as if the client had not asked for it: ${because}`,
    ]),
  ];
  return lines.map((line) => `${line}\n`).join('');
}

function readIdTokenFile(file: string): string {
  return readTextFile(file === '-' ? 0 : file).trim();
}

/** The claims in the order of the token, those that are no text as JSON. */
function printIdToken({
  issuer,
  alg,
  verified,
  claims,
  identity,
  also = [],
  matched,
  nearest,
}: NonNullable<Explanation['id_token']>): readonly string[] {
  const signed = `${alg ?? 'no algorithm'}, ${verified ? 'verified' : 'not verified'}`;
  return [
    `ID token: of ${issuer ?? 'an issuer that the settings do not name'} (${signed})`,
    ...Object.entries(claims).map(
      ([name, value]) => `  ${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`,
    ),
    ...(identity === null ? [] : [`identity: ${identity}, by ${matched.join(', ')}`]),
    ...(also.length === 0 ? [] : [`also matched, so that it is refused: ${also.join(', ')}`]),
    ...(nearest === null
      ? []
      : [`identity: none; the nearest is ${nearest.identity}, which ${printDifference(nearest)}`]),
  ];
}

function printDifference({
  claim,
  pinned,
  actual,
}: NonNullable<NonNullable<Explanation['id_token']>['nearest']>): string {
  if (pinned === '') return `does not pin ${claim}, as the settings of its issuer demand`;
  return `pins ${claim} to ${pinned}, but the token has ${actual ?? 'no such text'}`;
}

function printComparison({
  rule,
  differs_in,
  rails,
  cellpass,
}: NonNullable<Explanation['comparison']>): readonly string[] {
  const rows = [
    ['status', String(rails.status), String(cellpass.status)],
    ['access', rails.access.join(' ') || '-', cellpass.access.join(' ') || '-'],
    ...(['auth_type', 'aud', 'sub', 'exp'] as const).map((name) => [
      name,
      rails[name] ?? '-',
      cellpass[name] ?? '-',
    ]),
  ];
  const head = `GitLab Rails answered differently, first in ${differs_in}; here ${rule} decided`;
  const table = printTable(['', 'RAILS', 'CELLPASS'].map(whole), rows);
  return ['', head, ...table.trimEnd().split('\n')];
}

function describeSubject(subject: Explanation['subject']): string {
  if (subject === null) return 'no subject: the credentials were refused';
  if (subject.kind === 'anonymous') return 'anonymous';
  const scopes =
    subject.token_scopes === null ? '' : ` with scopes ${subject.token_scopes.join(', ') || '(none)'}`;
  return `${subject.kind.replace('_', ' ')} ${subject.name || '(no user)'} by ${subject.auth_type}${scopes}`;
}

const VERDICTS: Record<Explanation['scopes'][number]['actions'][number]['verdict'], string> = {
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
    `  ${action}: ${VERDICTS[verdict]} by ${rule}: ${because}`,
    `    rules checked: ${rules.map((checked) => checked.rule).join(', ')}`,
    ...needs.map((need) => `    needs: ${need.needs}`),
  ];
}
