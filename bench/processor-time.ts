import { readFile } from 'node:fs/promises';
import { withChildren } from './load.ts';

/** Linux reports processor time in ticks of 10 ms to all programs. */
const US_PER_TICK = 10_000;

/**
 * The processor time in microseconds that a process and its children have used, and those of its
 * children that have ended.
 */
export async function processorTimeUs(pid: number): Promise<number> {
  const pids = await withChildren(pid);
  const ticks = await Promise.all(pids.map((one) => ticksOf(one, one === pid)));
  return US_PER_TICK * ticks.reduce((sum, one) => sum + one, 0);
}

/** See proc_pid_stat(5): fields 14 to 17 are utime, stime, cutime and cstime. */
async function ticksOf(pid: number, withEnded: boolean): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The second field is the name of the program, which may contain spaces.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields.slice(11, withEnded ? 15 : 13).reduce((sum, field) => sum + Number(field), 0);
}
