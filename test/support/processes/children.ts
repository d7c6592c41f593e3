import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

type Kind = 'worker' | 'hasher' | 'planner';

/** The process ids of a server's running workers. */
export function workersOf(pid: number): readonly number[] {
  return childrenOf(pid, 'worker');
}

/** The process ids of a server's running hashing process: one, or none. */
export function hashersOf(pid: number): readonly number[] {
  return childrenOf(pid, 'hasher');
}

/** The process ids of a server's running planning process: one, or none. */
export function plannersOf(pid: number): readonly number[] {
  return childrenOf(pid, 'planner');
}

/** The nice value of each thread of a process: 0 is the default, 19 the lowest priority. */
export function niceOfThreads(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    // See proc(5): the name in parentheses may contain anything; after it come field 3, the state,
    // and field 19, the nice value.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

function childrenOf(pid: number, kind: Kind): readonly number[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=,stat=,args=', '--ppid', String(pid)], { encoding: 'utf8' });
  return stdout.split('\n').flatMap((line) => {
    const [, child, stat = '', args = ''] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    return child === undefined || stat.startsWith('Z') || kindOf(args) !== kind ? [] : [Number(child)];
  });
}

function kindOf(args: string): Kind {
  if (/hasher-process\.[jt]s/.test(args)) return 'hasher';
  return /planner-process\.[jt]s/.test(args) ? 'planner' : 'worker';
}
