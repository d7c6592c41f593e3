import type { KeyOutcome, ProbeResult } from '../../../http/types.ts';
import type { Terminal } from '../../../terminal.ts';
import type { AdminClient } from '../../client/admin-client.ts';
import { showAnswer } from '../../client/admin-command.ts';
import type { JsonFlags } from '../../client/admin-route.ts';

/** The options of the commands that change keys or CAs. */
export interface ChangeFlags extends JsonFlags {
  readonly force?: boolean;
}

/** Changes a key or a CA through the admin API, and prints what was done. */
export async function showChange(
  terminal: Terminal,
  flags: ChangeFlags,
  change: (client: AdminClient) => Promise<KeyOutcome>,
): Promise<void> {
  await showAnswer(terminal, flags, {
    fetch: change,
    print: ({ message, probes }) => `${message}\n${printProbes(probes)}`,
  });
}

/** One line for each registry; a table would cut the reason, which says what to do. */
export function printProbes(probes: ProbeResult['probes']): string {
  return probes
    .map(({ registry, outcome, because }) =>
      outcome === 'accepted' ? `${registry}: accepted\n` : `${registry}: ${outcome}: ${because}\n`,
    )
    .join('');
}
