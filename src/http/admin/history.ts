import type { Middleware } from 'koa';
import { lowerCaseAscii } from '../../ascii.ts';
import { timestamp } from '../../directory/document/fields.ts';
import type { UndoResult } from '../../directory/history/undo.ts';
import { CellpassError } from '../../errors.ts';
import type { HistoryEntry, HistoryPlace, HistoryQuestion } from '../../store/history/history.ts';
import type { Contract } from '../contract.ts';
import type { ParametersOf } from '../contract-parameters.ts';
import type { HistoryEntryView, HistoryPageView } from '../types.ts';
import { adminOf } from './identify.ts';

export interface HistoryResource {
  /** The newest change first. */
  list(
    question: HistoryQuestion,
  ): Promise<{ readonly entries: readonly HistoryEntry[]; readonly next: HistoryPlace | null }>;
  /** @throws {CellpassError} `not_found`, `conflict`. */
  undo(id: number, options: { readonly who: string; readonly dryRun: boolean }): Promise<UndoResult>;
}

const PAGE = 100;

export function listHistory(contract: Contract, history: HistoryResource): Middleware {
  const parameters = contract.parametersOf('listHistory');
  return async (ctx) => {
    const { entries, next } = await history.list(toQuestion(parameters(ctx)));
    ctx.body = {
      changes: entries.map(toView),
      ...(next && { next: `${next.id}.${next.position}` }),
    } satisfies HistoryPageView;
  };
}

export function undoChange(contract: Contract, history: HistoryResource): Middleware {
  const parameters = contract.parametersOf('undoChange');
  return async (ctx) => {
    const { path, query = {} } = parameters(ctx);
    const { dry_run: dryRun = false } = query;
    ctx.body = await history.undo(path.id, { who: adminOf(ctx).actor, dryRun });
  };
}

function toQuestion({ query = {} }: ParametersOf<'listHistory'>): HistoryQuestion {
  const { user, group, project, since, after, limit = PAGE } = query;
  const named = { users: user, groups: group, projects: project };
  return {
    subjects: Object.entries(named).flatMap(([section, name]) =>
      name === undefined ? [] : [`${section}:${lowerCaseAscii(name)}`],
    ),
    since: toDate(since),
    after: after === undefined ? null : readPlace(after),
    limit,
  };
}

/** A bare date is its first moment, UTC. */
function toDate(text: string | undefined): Date | null {
  const { data } = timestamp.safeParse(text);
  return typeof data === 'string' ? new Date(data) : null;
}

/** `12.3`: the third entry of change 12. */
function readPlace(text: string): HistoryPlace {
  const [, id, position] = /^(\d{1,15})\.(\d{1,9})$/.exec(text) ?? [];
  if (id === undefined || position === undefined)
    throw new CellpassError('invalid', 'after must be the "next" of a page');
  return { id: Number(id), position: Number(position) };
}

function toView({ id, time, who, section, name, before, after, undoOf }: HistoryEntry): HistoryEntryView {
  return {
    id,
    time: time.toISOString(),
    who,
    entry: { section, name },
    before: before && { ...before },
    after: after && { ...after },
    undo_of: undoOf,
  };
}
