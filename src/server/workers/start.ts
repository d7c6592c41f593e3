import cluster from 'node:cluster';
import type { Config } from '../../config/load.ts';
import type { ServerLog } from '../server-log.ts';
import { type RunningServer, startPrimary } from '../start.ts';
import { createWorkerMetrics } from './metrics.ts';
import { WorkerPool } from './pool.ts';
import { optionsOfWorkers } from './young-generation.ts';

/** How long a worker may take to exit after its drain. */
const GRACE_MS = 15_000;

/**
 * Several processes behind one listener, and a primary that administers them. The primary replaces
 * a worker that dies.
 * @param signal ends the wait for another process that migrates the database.
 * @throws the error of the first worker that can't start.
 */
export async function startWorkers(
  config: Config,
  log: ServerLog,
  signal?: AbortSignal,
): Promise<RunningServer> {
  cluster.setupPrimary({ execArgv: [...optionsOfWorkers(process.execArgv, process.env['NODE_OPTIONS'])] });
  const metrics = createWorkerMetrics();
  const primary = await startPrimary(config, { log, signal }, () => metrics.gather());
  const { certificate, rules, standIn } = primary;
  const pool = new WorkerPool({
    log,
    graceMs: config.drainSeconds * 1000 + GRACE_MS,
    hasher: primary.hasher,
    certificate,
    rules,
    standIn,
    onListening: (worker) => metrics.watch(worker),
  });
  certificate.follow((tls) => pool.send({ kind: 'certificate', tls }));
  rules.follow((rules) => pool.send({ kind: 'rules', rules }));
  try {
    const [first] = await Promise.all(Array.from({ length: config.workers }, () => pool.fork()));
    pool.replaceDead();
    return {
      publicUrl: first?.publicUrl ?? '',
      addresses: { listen: first?.listen ?? '', ...primary.addresses },
      reload: () => primary.reload(),
      rules,
      close: async () => {
        primary.drain();
        await pool.stop();
        await primary.close();
      },
    };
  } catch (error) {
    await pool.stop();
    await primary.close();
    throw error;
  }
}
