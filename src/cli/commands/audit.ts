import { Command } from 'commander';
import { CellpassError } from '../../errors.ts';
import type { IssuedTokenView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf } from '../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../client/admin-command.ts';
import { fetchPages } from '../client/fetch-pages.ts';
import { findKid } from '../client/find-kid.ts';
import { type PageFlags, readMoment, sayWhereToGoOn, withPageOptions } from '../client/option-values.ts';
import { SHORTEST_KID, shortener } from '../client/short-id.ts';
import { cuttable, printTableOr, whole } from '../client/table.ts';
import { toMinute } from '../client/time.ts';

interface AuditOptions extends PageFlags {
  readonly jti?: string;
  readonly subject?: string;
  readonly kid?: string;
  readonly repository?: string;
  readonly credential?: string;
  readonly since?: string;
  readonly until?: string;
}

const EXAMPLES = `
Examples:
  cellpass audit --repository acme/app --since 1h          (who got a token for a repository in the last hour)
  cellpass audit --kid KID --since 30d --limit 1000000     (what a key signed; "cellpass keys list" shows ids)
  cellpass audit --credential access-12 --since 7d         (what was done with a token that leaked)
  cellpass audit --subject alice --since 2027-01-31 --until 2027-02-01T12:00:00Z --json`;

export function auditCommand(terminal: Terminal): Command {
  const audit = new Command('audit')
    .description('list issued tokens, the latest first; never the tokens themselves')
    .option('--jti <id>', 'the token with this id; the first 8 characters are enough')
    .option('--subject <name>', 'tokens of this user or deploy token; "" for anonymous clients')
    .option('--kid <id>', 'tokens that this key signed; the first 8 characters of its id are enough')
    .option('--repository <path>', 'tokens that grant access to this repository')
    .option(
      '--credential <name>',
      'tokens that clients got by this credential: access-12, deploy-3, job-7, identity-NAME, password or anonymous',
    )
    .option(
      '--since <time>',
      'tokens issued at this time or later, such as 1h, 7d, 2027-01-31 (default: 24 h ago)',
      readMoment,
    )
    .option('--until <time>', 'tokens issued before this time (default: no end)', readMoment);
  return withAdminOptions(withPageOptions(audit))
    .addHelpText('after', EXAMPLES)
    .action(async (options: AuditOptions) => {
      const page = await showAnswer(terminal, options, {
        fetch: (client) => fetchIssued(client, options),
        print: ({ tokens }) => printIssued(tokens),
      });
      if (options.jti !== undefined && page.tokens.length === 0) terminal.stderr(NO_SUCH_ID);
      sayWhereToGoOn(terminal, `the latest ${page.tokens.length}`, page.next);
    });
}

interface PrintedRecords {
  readonly tokens: readonly IssuedTokenView[];
  readonly next?: string;
}

async function fetchIssued(client: AdminClient, options: AuditOptions): Promise<PrintedRecords> {
  const { jti, subject, kid, repository, credential, since, until, limit, after } = options;
  const filter = {
    ...(jti !== undefined && { jti }),
    ...(subject !== undefined && { subject }),
    ...(kid !== undefined && { kid: await findKid(client, kid) }),
    ...(repository !== undefined && { repository }),
    ...(credential !== undefined && { credential }),
    ...(since !== undefined && { since }),
    ...(until !== undefined && { until }),
  };
  const { entries, ...rest } = await fetchPages(
    limit,
    async (place) => {
      const query = { ...filter, ...place };
      const { tokens, next } = dataOf(await client.api.GET('/admin/v1/issued-tokens', { params: { query } }));
      return { entries: tokens, next };
    },
    after,
  );
  const page = { tokens: entries, ...rest };
  if (jti !== undefined) refuseUnlessOne(jti, page);
  return page;
}

const NO_SUCH_ID = `no record has this id. A record of several pulls (TOKENS above 2) keeps the ids of the first and the
last one only: search by --subject or --repository for one whose time includes the token's
`;

const UUID_LENGTH = 36;

/** A whole id may be that of no token; the beginning of an id must mean one. */
function refuseUnlessOne(jti: string, { tokens, next }: PrintedRecords): void {
  if (jti.length === UUID_LENGTH || (tokens.length === 1 && next === undefined)) return;
  if (tokens.length === 0) {
    throw new CellpassError(
      'not_found',
      `no token has an id that begins with ${jti} in this time: give --since an earlier time, or the whole id; a record of several pulls has the ids of the first and the last one only`,
    );
  }
  const ids = tokens.slice(0, MOST_SHOWN).map((token) => token.jti);
  throw new CellpassError(
    'conflict',
    `several tokens have an id that begins with ${jti}, such as ${ids.join(', ')}: give more characters`,
  );
}

function printIssued(tokens: readonly IssuedTokenView[]): string {
  const shortKid = shortener(
    tokens.map(({ kid }) => kid),
    SHORTEST_KID,
  );
  const shortJti = shortener(tokens.map(({ jti }) => jti));
  const shortRequest = shortener(tokens.map(({ request_id }) => request_id));
  const hasRepeats = tokens.some((token) => token.tokens !== undefined);
  const columns = [
    whole('ISSUED'),
    cuttable('SUBJECT'),
    whole('CREDENTIAL'),
    cuttable('FROM'),
    cuttable('ACCESS'),
    ...(hasRepeats ? [whole('TOKENS')] : []),
    whole('KID'),
    whole('JTI'),
    whole('REQUEST'),
  ];
  const rows = tokens.map((token) => [
    toMinute(token.issued_at),
    token.subject || '-',
    token.credential ?? token.auth_type,
    token.address || '-',
    printAccess(token.access),
    ...(hasRepeats ? [String(token.tokens ?? 1)] : []),
    shortKid(token.kid),
    shortJti(token.jti),
    shortRequest(token.request_id),
  ]);
  return printTableOr('no issued token matches; without --since only the last 24 hours count', columns, rows);
}

/** A token may grant access to 64 repositories, too many for one line. */
const MOST_SHOWN = 3;

/** `acme/app:pull,push acme/web:pull`, or `-`. */
function printAccess(access: IssuedTokenView['access']): string {
  const shown = access
    .slice(0, MOST_SHOWN)
    .map(
      ({ type, name, actions }) => `${type === 'repository' ? '' : `${type}:`}${name}:${actions.join(',')}`,
    );
  const more = access.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join(' ') || '-';
}
