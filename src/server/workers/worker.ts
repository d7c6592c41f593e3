import type { Config } from '../../config/load.ts';
import type { Log } from '../../log.ts';
import { createHashingClient, type HashingClient } from '../hashing/channel.ts';
import { reloadCertificate } from '../reload-certificate.ts';
import { startWorker, type WorkerServer } from '../start.ts';
import type { PrimaryMessage, WorkerMessage } from './messages.ts';
import type { MetricsQuestion } from './metrics.ts';

/** Runs one worker until the primary says stop, or is gone. Only the primary acts on signals. */
export async function runWorker(config: Config, log: Log): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const stop = new Promise<void>((resolve) => {
    process.on('message', (message: PrimaryMessage) => {
      if (message === 'stop') resolve();
    });
    process.on('disconnect', () => resolve());
  });
  try {
    const server = await startWorker(config, log, hasherOfPrimary());
    process.on('message', (message: PrimaryMessage) => {
      if (message === 'reload') reloadCertificate(server, log);
      if (typeof message === 'object' && message.kind === 'metrics') void sendMetrics(server, message, log);
    });
    send({ kind: 'listening', publicUrl: server.publicUrl });
    await stop;
    await server.close();
  } catch (error) {
    log.error({ err: error }, 'the worker could not start');
    send({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  }
  if (process.connected) process.disconnect();
}

/** argon2id in the hashing process, which the primary asks for the workers. */
function hasherOfPrimary(): HashingClient {
  const client = createHashingClient(send);
  process.on('message', (message: PrimaryMessage) => {
    if (typeof message === 'object') client.receive(message);
  });
  process.on('disconnect', () => client.lose());
  return client;
}

async function sendMetrics(
  server: Pick<WorkerServer, 'metrics'>,
  { id }: MetricsQuestion,
  log: Log,
): Promise<void> {
  try {
    send({ kind: 'metrics', id, metrics: await server.metrics() });
  } catch (error) {
    log.warn({ err: error }, 'the metrics of this worker could not be read');
  }
}

function send(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}
