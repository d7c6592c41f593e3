import type { KeyOutcome, ProbeResult } from '../../../http/types.ts';
import type { Terminal } from '../../../terminal.ts';
import { type AdminClient, withAdmin } from '../../client/admin-client.ts';
import type { JsonFlags } from '../../client/admin-route.ts';
import { printTable } from '../../client/table.ts';

/** The options that every step on keys takes. */
export interface StepFlags extends JsonFlags {
  readonly force?: boolean;
}

/** Takes a step through the admin API and prints its outcome. */
export function takeStep(
  terminal: Terminal,
  { json, ...flags }: StepFlags,
  step: (client: AdminClient) => Promise<KeyOutcome>,
): Promise<void> {
  return withAdmin(terminal, flags, async (client) => {
    const outcome = await step(client);
    terminal.stdout(
      json ? `${JSON.stringify(outcome)}\n` : `${outcome.message}\n${printProbes(outcome.probes)}`,
    );
  });
}

export function printProbes(probes: ProbeResult['probes']): string {
  if (probes.length === 0) return '';
  return printTable(
    ['REGISTRY', 'OUTCOME', ''],
    probes.map(({ registry, outcome, because }) => [
      registry,
      outcome,
      outcome === 'accepted' ? '' : because,
    ]),
  );
}
