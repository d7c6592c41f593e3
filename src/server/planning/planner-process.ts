import { setPriority } from 'node:os';
import { applyDirectory } from '../../directory/apply.ts';
import { exportDirectory } from '../../directory/export/directory.ts';
import {
  createPlanningClient,
  type FromPlanner,
  type PlanningJob,
  type ToPlanner,
  toFailure,
} from './channel.ts';

/**
 * The entry point of the process that reads, checks, plans and exports directory documents, one at
 * a time. `planner.ts` starts it. It reaches the database through the server.
 */

/** From -20 to 19. Requests for tokens go first; nobody waits for a document in milliseconds. */
const NICE = 10;

// Only the process that started this one acts on signals.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
// The server is gone or needs this process no longer.
process.on('disconnect', () => process.exit());

const client = createPlanningClient(tell);
process.on('message', (message: ToPlanner) => {
  if (message.kind === 'job') void run(message.job);
  else client.receive(message);
});
lowerPriority();
tell({ kind: 'ready' });

async function run(job: PlanningJob): Promise<void> {
  try {
    tell({ kind: 'done', result: await resultOf(job) });
  } catch (error) {
    tell({ kind: 'failed', failure: toFailure(error) });
  }
}

async function resultOf(job: PlanningJob): Promise<unknown> {
  if (job.kind === 'export') return exportDirectory(client.database);
  const { database, passwords } = client;
  const { given, options, refusesExamples, issuers, tokenDays, nowMs } = job;
  const services = {
    database,
    passwords,
    now: () => new Date(nowMs),
    refusesExamples,
    issuers,
    ...(tokenDays !== undefined && { tokenDays }),
  };
  return applyDirectory(services, given, options);
}

function tell(message: FromPlanner): void {
  if (process.connected) process.send?.(message);
}

/** A system that doesn't allow this leaves the usual priority. */
function lowerPriority(): void {
  try {
    setPriority(NICE);
  } catch {
    return;
  }
}
