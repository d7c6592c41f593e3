import { type Command, InvalidArgumentError, Option } from 'commander';

/** For commander: collects the values of an option that is given several times. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

const MOST_LISTED = 1000;

/** The option for the longest list that a command prints. */
export function limitOption(): Option {
  return new Option('--limit <number>', 'the most entries to print')
    .argParser(readCount)
    .default(MOST_LISTED);
}

const MOST_REMOVALS = 5;

/** How much a change may remove without a question. */
export function maxRemovalsOption(): Option {
  return new Option(
    '--max-removals <number>',
    'without a terminal and without --yes, refuse a change that removes more',
  )
    .argParser((value) => (value === '0' ? 0 : readCount(value)))
    .default(MOST_REMOVALS);
}

/** Options of a command that prints a list page by page. */
export interface PageFlags {
  readonly limit: number;
  readonly after?: string;
}

const PAGE = 100;

export function withPageOptions(command: Command): Command {
  return command
    .addOption(new Option('--limit <number>', 'the most entries to print').argParser(readCount).default(PAGE))
    .option('--after <cursor>', 'begin after this place: the "next" of the list before');
}

function readCount(value: string): number {
  if (/^[1-9][0-9]{0,8}$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It must be a number of 1 or more.');
}

const UNITS_MS = { m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Turns `90m`, `1h` and `7d` into the time that long ago, and leaves other text to the server. */
export function readMoment(value: string): string {
  const [, count, unit] = /^([1-9][0-9]{0,5})([mhd])$/.exec(value) ?? [];
  if (unit !== 'm' && unit !== 'h' && unit !== 'd') return value;
  return new Date(Date.now() - Number(count) * UNITS_MS[unit]).toISOString();
}
