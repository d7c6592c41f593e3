import type { KeyHistory, KeyList } from '../../../http/types.ts';
import { SHORTEST_KID, shortener } from '../../client/short-id.ts';
import { cuttable, printTable, whole } from '../../client/table.ts';
import { toMinute } from '../../client/time.ts';

type Key = KeyList['keys'][number];

const KEY_COLUMNS = [
  whole('STATE'),
  whole('KID (LIBTRUST)'),
  whole('THUMBPRINT'),
  whole('AGE'),
  cuttable('NEXT'),
];
const CA_COLUMNS = ['CA', 'ID', 'AGE', 'VALID UNTIL'].map(whole);

/** The tables of keys and CAs, and a sentence about each revoked key that signed tokens. */
export function printKeys({ keys, authorities }: KeyList, now: Date): string {
  const shortKid = shortener(
    keys.map(({ kid }) => kid),
    SHORTEST_KID,
  );
  const shortThumbprint = shortener(keys.map(({ thumbprint }) => thumbprint));
  const shortCa = shortener(authorities.map(({ id }) => id));
  const keyRows = keys.map((key) => [
    key.state,
    shortKid(key.kid),
    shortThumbprint(key.thumbprint),
    ageOf(key.activated_at ?? key.created_at, now),
    printNext(key.next),
  ]);
  const caRows = authorities.map(({ id, state, created_at, not_after }) => [
    state,
    shortCa(id),
    ageOf(created_at, now),
    toMinute(not_after),
  ]);
  const sentences = keys.flatMap((key) => printRevocation(key, shortKid(key.kid)));
  return [
    printTable(KEY_COLUMNS, keyRows),
    '\n',
    printTable(CA_COLUMNS, caRows),
    ...(sentences.length === 0 ? [] : ['\n', ...sentences]),
  ].join('');
}

function printNext({ what, at }: Key['next']): string {
  return at === null ? what : `${what} ${toMinute(at)}`;
}

function printRevocation({ issued, revocation_reason }: Key, kid: string): readonly string[] {
  if (issued === null) return [];
  const { from, until, tokens_end_at } = issued;
  return [
    `${kid} was revoked (${revocation_reason ?? 'no reason given'}): it signed from ${toMinute(from)} to ${toMinute(until)}, and the last of those tokens ends at ${toMinute(tokens_end_at)}\n`,
  ];
}

const MINUTE_MS = 60_000;
const HOUR_MINUTES = 60;
const DAY_HOURS = 24;

/** Minutes below an hour, hours below two days, else days. */
function ageOf(since: string, now: Date): string {
  const minutes = Math.floor((now.getTime() - new Date(since).getTime()) / MINUTE_MS);
  const hours = Math.floor(minutes / HOUR_MINUTES);
  if (hours < 1) return `${Math.max(0, minutes)} min`;
  return hours < 2 * DAY_HOURS ? `${hours} h` : `${Math.floor(hours / DAY_HOURS)} d`;
}

const HISTORY_COLUMNS = [whole('WHEN'), cuttable('WHO'), whole('WHAT'), whole('KEY OR CA'), cuttable('WHY')];

/** The table of changes, in the order of the answer. */
export function printHistory({ events }: KeyHistory): string {
  const shortSubject = shortener(
    events.flatMap(({ subject }) => subject ?? []),
    SHORTEST_KID,
  );
  const rows = events.map(({ at, actor, action, subject, reason }) => [
    toMinute(at),
    actor,
    action,
    subject === null ? '-' : shortSubject(subject),
    reason ?? '',
  ]);
  return printTable(HISTORY_COLUMNS, rows);
}
