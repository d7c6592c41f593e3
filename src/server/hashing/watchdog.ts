/** Notices that another process has open questions, and answers none of them any more. */
export interface Watchdog {
  asked(): void;
  answered(): void;
  stop(): void;
}

/**
 * Calls `onStuck` when questions are open and no answer has come for `stuckMs`. Any answer counts:
 * where many wait, the last one may take longer.
 */
export function createWatchdog(stuckMs: number, onStuck: () => void): Watchdog {
  let open = 0;
  let timer: NodeJS.Timeout | undefined;
  const restart = (): void => {
    clearTimeout(timer);
    timer = open === 0 ? undefined : setTimeout(check, stuckMs).unref();
  };
  const check = (): void => {
    const overdue = timer;
    // If this process was stopped or busy itself, the answers have arrived and are read first.
    setImmediate(() => {
      if (timer === overdue) onStuck();
    });
  };
  return {
    asked() {
      open += 1;
      if (open === 1) restart();
    },
    answered() {
      open -= 1;
      restart();
    },
    stop() {
      open = 0;
      restart();
    },
  };
}
