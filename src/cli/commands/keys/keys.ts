import { Command } from 'commander';
import { CellpassError } from '../../../errors.ts';
import type { KeyHistory, KeyList, ProbeResult } from '../../../http/types.ts';
import type { Terminal } from '../../../terminal.ts';
import { dataOf, withAdmin } from '../../client/admin-client.ts';
import { adminUrlOption, type JsonFlags } from '../../client/admin-route.ts';
import { printTable } from '../../client/table.ts';
import { addAuthorityCommands } from './authorities.ts';
import { addKeyExports } from './exports.ts';
import { printProbes } from './outcome.ts';
import { addKeySteps } from './steps.ts';

export function keysCommand(terminal: Terminal): Command {
  const keys = new Command('keys').description(
    'the keys that sign tokens, and what registries verify them with',
  );
  addLists(keys, terminal);
  addKeySteps(keys, terminal);
  addKeyExports(keys, terminal);
  addAuthorityCommands(keys, terminal);
  return keys;
}

function addLists(keys: Command, terminal: Terminal): void {
  const { stdout } = terminal;
  keys
    .command('list')
    .description('every key and CA with its state, and what happens next')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const listing = dataOf(await api.GET('/admin/v1/keys'));
        stdout(json ? `${JSON.stringify(listing)}\n` : printKeys(listing, new Date()));
      }),
    );
  keys
    .command('history')
    .description('who changed keys, when and why; the newest first')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const history = dataOf(await api.GET('/admin/v1/keys/history'));
        stdout(json ? `${JSON.stringify(history)}\n` : printHistory(history));
      }),
    );
  keys
    .command('probe')
    .description('ask every registry whether it accepts the pending key; exit 1 unless all do')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const result = dataOf(await api.POST('/admin/v1/keys/probe'));
        stdout(json ? `${JSON.stringify(result)}\n` : printProbes(result.probes));
        refuseUnlessAccepted(result);
      }),
    );
}

function printKeys({ keys, authorities }: KeyList, now: Date): string {
  const keyRows = keys.map((key) => [
    key.state,
    key.kid,
    key.thumbprint,
    ageOf(key.activated_at ?? key.created_at, now),
    nextOf(key.next),
  ]);
  const authorityRows = authorities.map(({ id, state, created_at, not_after }) => [
    state,
    id,
    ageOf(created_at, now),
    not_after,
  ]);
  const windows = keys.flatMap(({ kid, issued, revocation_reason }) =>
    issued === null
      ? []
      : [
          `${kid} was revoked (${revocation_reason ?? 'no reason given'}): it signed from ${issued.from} to ${issued.until}, and the last of those tokens ends at ${issued.tokens_end_at}\n`,
        ],
  );
  return [
    printTable(['STATE', 'KID (LIBTRUST)', 'THUMBPRINT', 'AGE', 'NEXT'], keyRows),
    '\n',
    printTable(['CA', 'ID', 'AGE', 'VALID UNTIL'], authorityRows),
    ...(windows.length === 0 ? [] : ['\n', ...windows]),
  ].join('');
}

function nextOf({ what, at }: KeyList['keys'][number]['next']): string {
  return at === null ? what : `${what}: ${at}`;
}

const MINUTE_MS = 60_000;
const HOUR_MINUTES = 60;
const DAY_HOURS = 24;

/** In the largest unit that says enough. */
function ageOf(since: string, now: Date): string {
  const minutes = Math.floor((now.getTime() - new Date(since).getTime()) / MINUTE_MS);
  const hours = Math.floor(minutes / HOUR_MINUTES);
  if (hours < 1) return `${Math.max(0, minutes)} min`;
  return hours < 2 * DAY_HOURS ? `${hours} h` : `${Math.floor(hours / DAY_HOURS)} d`;
}

function printHistory({ events }: KeyHistory): string {
  const rows = events.map(({ at, actor, action, subject, reason }) => [
    at,
    actor,
    action,
    subject ?? '-',
    reason ?? '',
  ]);
  return printTable(['WHEN', 'WHO', 'WHAT', 'KEY OR CA', 'WHY'], rows);
}

function refuseUnlessAccepted({ kid, probes }: ProbeResult): void {
  if (probes.length === 0) {
    throw new CellpassError('conflict', 'no registry is configured: list them under "registries"');
  }
  const others = probes.filter(({ outcome }) => outcome !== 'accepted');
  if (others.length === 0) return;
  const names = others.map(({ registry }) => registry).join(', ');
  throw new CellpassError('conflict', `the key ${kid} is not accepted by ${names}`);
}
