import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

interface Process {
  readonly pid: number;
  readonly isHasher: boolean;
}

/** The workers of a server that live, by the system. */
export function workersOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => (child.isHasher ? [] : [child.pid]));
}

/** The processes of a server that hash its passwords, and live: one, or none. */
export function hashersOf(pid: number): readonly number[] {
  return childrenOf(pid).flatMap((child) => (child.isHasher ? [child.pid] : []));
}

/** The priority of each thread, by Linux: 0 is usual, 19 the lowest. */
export function niceOfThreads(pid: number): readonly number[] {
  return readdirSync(`/proc/${pid}/task`).map((thread) => {
    const stat = readFileSync(`/proc/${pid}/task/${thread}/stat`, 'utf8');
    // After the name, which may hold anything, the state is the third field and this the
    // nineteenth.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]);
  });
}

function childrenOf(pid: number): readonly Process[] {
  const { stdout } = spawnSync('ps', ['-o', 'pid=,stat=,args=', '--ppid', String(pid)], { encoding: 'utf8' });
  return stdout.split('\n').flatMap((line) => {
    const [, child, stat = '', args = ''] = /^\s*(\d+)\s+(\S+)\s+(.*)$/.exec(line) ?? [];
    if (child === undefined || stat.startsWith('Z')) return [];
    return [{ pid: Number(child), isHasher: /hasher-process\.[jt]s/.test(args) }];
  });
}
