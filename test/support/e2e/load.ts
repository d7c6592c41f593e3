import type { Outcome } from '../processes/child.ts';

/** Clients that repeat their operations until `stop`. */
export interface Load {
  /** How often each kind of operation has ended. */
  readonly done: Readonly<Record<string, number>>;
  /** The error messages of the clients. */
  readonly failures: readonly string[];
  /** Resolves when each kind of operation has begun and ended `times` more times. */
  more(times: number): Promise<void>;
  /** Stops after the operations that are running have ended. */
  stop(): Promise<void>;
}

type Operation = () => Promise<Outcome>;

export function startLoad(operations: Readonly<Record<string, Operation>>): Load {
  const done: Record<string, number> = Object.fromEntries(Object.keys(operations).map((name) => [name, 0]));
  const failures: string[] = [];
  const listeners = new Set<() => void>();
  let stopped = false;
  const loop = async (name: string, operation: Operation): Promise<void> => {
    while (!stopped) {
      const { code, stdout, stderr } = await operation();
      if (code !== 0) failures.push(`${name}: ${stdout}${stderr}`.trim());
      done[name] = (done[name] ?? 0) + 1;
      for (const listener of listeners) listener();
    }
  };
  const loops = Object.entries(operations).map(([name, operation]) => loop(name, operation));
  return {
    done,
    failures,
    more(times) {
      // The running operation may have begun before this call.
      const goal = Object.fromEntries(Object.entries(done).map(([name, count]) => [name, count + times + 1]));
      return new Promise((resolve) => {
        const look = (): void => {
          if (Object.entries(goal).some(([name, count]) => (done[name] ?? 0) < count)) return;
          listeners.delete(look);
          resolve();
        };
        listeners.add(look);
      });
    },
    async stop() {
      stopped = true;
      await Promise.all(loops);
    },
  };
}
