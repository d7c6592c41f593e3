import { CellpassError } from '../errors.ts';
import { findKey, type KeySet, pendingKey, type StoredKey } from '../keys/key-set.ts';
import { refuseUnlessPending } from '../keys/lifecycle.ts';
import type { KeyOutcome, KeySetEditor } from './key-change.ts';
import { mayActivate, mayActivateIn, type Permitted, permittedBy } from './permit.ts';

interface Steps {
  stage(): Promise<KeyOutcome>;
  /** Makes the pending key active and stages the next one. */
  rotateTo(pending: StoredKey, permitted: Permitted): Promise<KeyOutcome>;
}

/**
 * One step of a rotation that waits: stages a key if none is pending, says what the pending key
 * waits for, or rotates. The caller repeats it, with the `kid` that it waits for. If somebody else
 * changes the keys meanwhile, the step is taken again on what they made of them.
 * @param id of the key that must become active; undefined: the pending one, or one that is staged.
 * @throws {CellpassError} `conflict` if that key was dropped or revoked.
 */
export async function rotateOrWait(
  editor: KeySetEditor,
  steps: Steps,
  id: string | undefined,
): Promise<KeyOutcome> {
  const set = await editor.read();
  const key = id === undefined ? pendingKey(set) : findKey(set, id);
  try {
    if (key === undefined) return await stageAndWait(editor, steps);
    if (key.state === 'active') return activatedByOthers(key);
    refuseUnlessPending(key);
    return await rotateIfAllowed(editor, steps, key);
  } catch (error) {
    const isConflict = error instanceof CellpassError && error.code === 'conflict';
    if (!isConflict || !haveOtherStates(set, await editor.read())) throw error;
    return rotateOrWait(editor, steps, key?.kid);
  }
}

async function stageAndWait(editor: KeySetEditor, steps: Steps): Promise<KeyOutcome> {
  const { staged } = await steps.stage();
  const next = await rotateOrWait(editor, steps, staged ?? undefined);
  return { ...next, staged: next.staged ?? staged };
}

async function rotateIfAllowed(editor: KeySetEditor, steps: Steps, pending: StoredKey): Promise<KeyOutcome> {
  const { periods, probe } = editor.options;
  const waitMs = mayActivateIn(pending, periods, editor.moment());
  const { obstacle, probes } = await mayActivate(editor.openKey(pending), { waitMs, probe });
  if (obstacle === null) return steps.rotateTo(pending, permittedBy(probes));
  const message = `${pending.kid} may not sign yet: ${obstacle.because}`;
  return { message, activated: null, staged: null, probes, waits_for: { kid: pending.kid, ...obstacle } };
}

function activatedByOthers({ kid }: StoredKey): KeyOutcome {
  const message = `${kid} is active: another admin or the schedule has rotated`;
  return { message, activated: kid, staged: null, probes: [] };
}

function haveOtherStates(before: KeySet, after: KeySet): boolean {
  const states = ({ keys }: KeySet): string =>
    keys
      .map(({ kid, state }) => `${kid} ${state}`)
      .sort()
      .join();
  return states(before) !== states(after);
}
