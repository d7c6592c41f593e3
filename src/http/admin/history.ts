import type { Context, Middleware } from 'koa';
import { lowerCaseAscii } from '../../ascii.ts';
import type { UndoResult } from '../../directory/history/undo.ts';
import { CellpassError } from '../../errors.ts';
import type { RevocationFile } from '../../records/revocation-file.ts';
import type {
  HistoryEntry,
  HistoryPlace,
  HistoryQuestion,
  RevokedByChange,
} from '../../store/history/history.ts';
import type { Contract } from '../contract.ts';
import type { ParametersOf } from '../contract-parameters.ts';
import type { HistoryEntryView, HistoryPageView } from '../types.ts';
import { adminOf } from './identify.ts';
import { note } from './note-revocation.ts';
import { USUAL_PAGE } from './parameters.ts';
import { toDate } from './places.ts';

export interface HistoryResource {
  /** The newest change first. */
  list(
    question: HistoryQuestion,
  ): Promise<{ readonly entries: readonly HistoryEntry[]; readonly next: HistoryPlace | null }>;
  /** The tokens that a change revoked. */
  revokedBy(id: number): Promise<readonly RevokedByChange[]>;
  /** @throws {CellpassError} `not_found`, `conflict`. */
  undo(id: number, options: { readonly who: string; readonly dryRun: boolean }): Promise<UndoResult>;
}

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

export function undoChange(
  contract: Contract,
  history: HistoryResource,
  revocations: RevocationFile,
): Middleware {
  const parameters = contract.parametersOf('undoChange');
  return async (ctx) => {
    const { path, query = {} } = parameters(ctx);
    const { dry_run: dryRun = false } = query;
    const result = await history.undo(path.id, { who: adminOf(ctx).actor, dryRun });
    ctx.body = { ...result, ...(await noteChange({ history, revocations }, ctx, result.change_id)) };
  };
}

/** Notes the tokens that a change revoked, as `note` does; null: nothing was changed. */
export async function noteChange(
  { history, revocations }: { readonly history: HistoryResource; readonly revocations: RevocationFile },
  ctx: Context,
  change: number | null,
): Promise<{ readonly warning?: string }> {
  const tokens = change === null ? [] : await history.revokedBy(change);
  return note(
    revocations,
    ctx,
    tokens.map((token) => ({ kind: 'token', ...token })),
  );
}

function toQuestion({ query = {} }: ParametersOf<'listHistory'>): HistoryQuestion {
  const { user, group, project, since, after, limit = USUAL_PAGE } = query;
  const named = { users: user, groups: group, projects: project };
  return {
    subjects: Object.entries(named).flatMap(([section, name]) =>
      name === undefined ? [] : [`${section}:${lowerCaseAscii(name)}`],
    ),
    since: toDate(since) ?? null,
    after: after === undefined ? null : readPlace(after),
    limit,
  };
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
