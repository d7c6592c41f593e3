import { undoChange } from '../../directory/history/undo.ts';
import type { HistoryResource } from '../../http/admin/history.ts';
import { findRevokedBy, listHistory } from '../../store/history/history.ts';
import { UNDO_IN_GITLAB } from './gitlab.ts';
import type { ServerInputs } from './inputs.ts';

/**
 * The record of changes in cellpass's own tables, and undoing them. With GitLab as the directory the
 * record has no more than what was changed before: GitLab keeps its own.
 */
export function historyOf({ database, now, gitlab }: ServerInputs): HistoryResource {
  const list: HistoryResource['list'] = (question) => listHistory(database, question);
  if (gitlab !== undefined) return { list, ...UNDO_IN_GITLAB };
  return {
    list,
    revokedBy: (id) => findRevokedBy(database, id),
    undo: (id, { who, dryRun }) => undoChange(database, id, { at: now(), who }, { dryRun }),
  };
}
