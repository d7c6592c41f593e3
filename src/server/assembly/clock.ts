import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { type ClockCheck, createClockCheck } from '../../keys/clock-check.ts';
import { createClockStore } from '../../store/clocks.ts';
import type { Closers } from '../closers.ts';
import type { ServerInputs } from './inputs.ts';

/** Changes with each boot of the machine; containers on one machine have the same, as its clock. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** The embedded database reads the clock of this process. */
const SAME_CLOCK: ClockCheck = {
  assertRight: () => undefined,
  stats: () => ({ verdict: 'right', aheadMs: 0 }),
  compare: async () => undefined,
  poll: () => undefined,
  close: async () => undefined,
};

/**
 * Compares this machine's clock with the database's, from before the server listens until it is
 * closed.
 */
export async function openClockCheck(inputs: ServerInputs, closers: Closers): Promise<ClockCheck> {
  const { database, log, machineClock } = inputs;
  if (database.kind === 'pglite') return SAME_CLOCK;
  const check = createClockCheck({
    store: createClockStore(database),
    own: { replica: randomUUID(), machine: machineClock?.machine ?? machineId() },
    log,
    wallMs: machineClock?.wallMs ?? Date.now,
    monotonicMs: machineClock?.monotonicMs ?? (() => performance.now()),
  });
  // The next comparison is soon, and the keyring reports a database that is away.
  await check.compare().catch(() => undefined);
  check.poll();
  closers.push(() => check.close());
  return check;
}

function machineId(): string {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim();
  } catch {
    return hostname();
  }
}
