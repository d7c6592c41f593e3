import { undoChange } from '../../directory/history/undo.ts';
import type { HistoryResource } from '../../http/admin/history.ts';
import { findRevokedBy, listHistory } from '../../store/history/history.ts';
import { HISTORY_IN_GITLAB } from './gitlab.ts';
import type { ServerInputs } from './inputs.ts';

/** The record of changes, and undoing them, where the directory is cellpass's own. */
export function historyOf({ database, now, gitlab }: ServerInputs): HistoryResource {
  if (gitlab !== undefined) return HISTORY_IN_GITLAB;
  return {
    list: (question) => listHistory(database, question),
    revokedBy: (id) => findRevokedBy(database, id),
    undo: (id, { who, dryRun }) => undoChange(database, id, { at: now(), who }, { dryRun }),
  };
}
