import { setImmediate as endOfTurn } from 'node:timers/promises';

/** The version that was current at some moment after the call. */
export type CurrentVersion = () => Promise<string>;

/**
 * All callers until the question is sent share its answer. It is sent when the one before it is
 * answered and the current turn of the event loop has ended. No caller gets the answer to a
 * question that was sent before its call: that answer may be older than a change which a client has
 * just been told is done.
 */
export function createCurrentVersion(read: () => Promise<string>): CurrentVersion {
  let sent: Promise<string> = Promise.resolve('');
  let gathering: Promise<string> | undefined;

  const readNext = async (): Promise<string> => {
    await sent.catch(() => undefined);
    await endOfTurn();
    gathering = undefined;
    sent = read();
    return sent;
  };
  return () => {
    gathering ??= readNext();
    return gathering;
  };
}
