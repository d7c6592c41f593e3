import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Terminal } from '../../terminal.ts';
import type { JsonFlags } from './admin-route.ts';

/** For commander: collects the values of an option that is given several times. */
export function collect(value: string, previous: readonly string[] = []): readonly string[] {
  return [...previous, value];
}

const USUAL_PAGE = 100;

/** The option for the longest list that a command prints. */
export function limitOption(): Option {
  return new Option('--limit <number>', 'the most entries to print').argParser(readCount).default(USUAL_PAGE);
}

/** The flags of every command that prints a list page by page. */
export interface PageFlags extends JsonFlags {
  readonly limit: number;
  readonly after?: string;
}

/** Adds the options of every command that prints a list page by page. */
export function withPageOptions(command: Command): Command {
  return command
    .addOption(limitOption())
    .option('--after <cursor>', 'go on where a page ended: the "next" of --json');
}

/**
 * Says that there are more entries than a command has printed.
 * @param shown such as `the latest 100`.
 * @param next of the page; missing on the last one.
 */
export function sayWhereToGoOn({ stderr }: Terminal, shown: string, next: string | null | undefined): void {
  if (next)
    stderr(`these are ${shown}; for the others use --limit or --after ${next}, or narrow the search\n`);
}

const MOST_REMOVALS = 5;

/** How much a change may remove without a question. */
export function maxRemovalsOption(): Option {
  return new Option(
    '--max-removals <number>',
    'without a terminal and without --yes, refuse a change that removes more',
  )
    .argParser(readMost)
    .default(MOST_REMOVALS);
}

function readMost(value: string): number {
  if (/^(0|[1-9][0-9]{0,8})$/.test(value)) return Number(value);
  throw new InvalidArgumentError('It must be a number of 0 or more.');
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
