import { setTimeout as delay } from 'node:timers/promises';
import { CellpassError } from '../../../errors.ts';
import type { KeyOutcome } from '../../../http/types.ts';
import type { Terminal } from '../../../terminal.ts';
import { type AdminClient, dataOf } from '../../client/admin-client.ts';

/** How often the server asks the registries again. */
const LONGEST_PAUSE_MS = 5000;
const SHORTEST_PAUSE_MS = 250;
const SAME_END_MS = 5000;

/**
 * Rotates as soon as the pending key may sign, and stages one first if none is pending. Says on
 * stderr what the key waits for, whenever that changes. A server that restarts meanwhile is asked
 * again.
 * @throws {CellpassError} when the key was dropped, or the server can't be reached at the beginning.
 */
export async function rotateWhenAllowed(
  { stderr }: Pick<Terminal, 'stderr'>,
  { api }: Pick<AdminClient, 'api'>,
): Promise<KeyOutcome> {
  const step = async (kid: string | undefined): Promise<KeyOutcome> => {
    const body = { wait: true, ...(kid !== undefined && { kid }) };
    return dataOf(await api.POST('/admin/v1/keys/rotate', { body }));
  };
  let said = '';
  const say = (text: string): void => {
    if (text !== said) stderr(`${text}\n`);
    said = text;
  };
  let end = 0;
  let outcome = await step(undefined);
  while (outcome.waits_for !== undefined) {
    const { kid, because, seconds } = outcome.waits_for;
    const newEnd = Date.now() + seconds * 1000;
    // The server answers in whole seconds, so the same end moves a little with each answer.
    if (Math.abs(newEnd - end) > SAME_END_MS) end = newEnd;
    say(`${kid} waits: ${because}${seconds > 0 ? `; it may sign at about ${toSecond(end)}` : ''}`);
    const pauseMs = seconds > 0 ? Math.min(seconds * 1000, LONGEST_PAUSE_MS) : LONGEST_PAUSE_MS;
    await delay(Math.max(pauseMs, SHORTEST_PAUSE_MS));
    outcome = await step(kid).catch((error: unknown) => {
      if (!(error instanceof CellpassError) || error.code !== 'unavailable') throw error;
      say(`waits for the server: ${error.message}`);
      return outcome;
    });
  }
  return outcome;
}

function toSecond(time: number): string {
  return new Date(time).toISOString().replace(/\.\d+/, '');
}
