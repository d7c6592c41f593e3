import { setImmediate as endOfTurn } from 'node:timers/promises';

/**
 * Unit → the name of its state; null: there is no such unit. A unit is a part of a source that has
 * a version of its own.
 */
export type Versions = Readonly<Record<string, string | null>>;

/** The versions of these units, and perhaps of others, at some moment after the call. */
type CurrentVersions = (units: readonly string[]) => Promise<Versions>;

interface Question {
  readonly units: Set<string>;
  readonly answer: Promise<Versions>;
}

/**
 * All callers until the question is sent share it. It is sent when the one before it is answered
 * and the current turn of the event loop has ended. No caller gets the answer to a question that
 * was sent before its call: that answer may be older than a change which a client has just been
 * told is done.
 */
export function createCurrentVersions(
  read: (units: readonly string[]) => Promise<Versions>,
): CurrentVersions {
  let sent: Promise<unknown> = Promise.resolve();
  let gathering: Question | undefined;

  const send = async (units: ReadonlySet<string>): Promise<Versions> => {
    await sent.catch(() => undefined);
    await endOfTurn();
    gathering = undefined;
    const answer = read([...units]);
    sent = answer;
    return answer;
  };
  const gather = (): Question => {
    const units = new Set<string>();
    return { units, answer: send(units) };
  };
  return (units) => {
    gathering ??= gather();
    for (const unit of units) gathering.units.add(unit);
    return gathering.answer;
  };
}
