import type { Config } from '../../config/load.ts';
import type { RailsRules } from '../../config/rails.ts';
import { createCertificate } from '../certificate.ts';
import { exitSoon } from '../exit.ts';
import { createFollowed } from '../followed.ts';
import { createHashingClient, type HashingClient } from '../hashing/channel.ts';
import type { ServerLog } from '../server-log.ts';
import { startWorker, type WorkerServer } from '../start.ts';
import type { PrimaryMessage, WorkerMessage } from './messages.ts';
import type { MetricsQuestion } from './metrics.ts';

/** Runs one worker until the primary says stop, or is gone. Only the primary acts on signals. */
export async function runWorker(config: Config, log: ServerLog): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  const stop = new Promise<void>((resolve) => {
    onMessage((message) => {
      if (message.kind === 'stop') resolve();
    });
    process.on('disconnect', () => resolve());
  });
  onMessage((message) => {
    if (message.kind === 'ping') send({ kind: 'alive' });
  });
  try {
    const server = await startWorker(config, log, { argon2id: hasherOfPrimary(), ...listening() });
    onMessage((message) => {
      if (message.kind === 'metrics') void sendMetrics(server, message, log);
    });
    send({ kind: 'listening', publicUrl: server.publicUrl, listen: server.listen });
    await stop;
    await server.close();
  } catch (error) {
    log.error({ err: error }, 'the worker could not start');
    send({ kind: 'failed', message: error instanceof Error ? error.message : String(error) });
    process.exitCode = 1;
  }
  await log.flush();
  if (process.connected) process.disconnect();
  exitSoon();
}

/**
 * The certificate comes from the primary, so that a worker can start while the files are wrong: they
 * may have changed since. So do the rules beside Rails.
 */
function listening(): Pick<Parameters<typeof startWorker>[2], 'certificate' | 'rules' | 'mayListen'> {
  const certificate = createCertificate(null);
  const rules = createFollowed<RailsRules | null>(null);
  const allowed = new Promise<void>((resolve) => {
    onMessage((message) => {
      const { kind } = message;
      if ((kind === 'listen' || kind === 'certificate') && message.tls !== null)
        certificate.replace(message.tls);
      if (kind === 'listen' || kind === 'rules') rules.replace(message.rules);
      if (kind === 'listen') resolve();
    });
  });
  return {
    certificate,
    rules,
    mayListen: () => {
      send({ kind: 'about_to_listen' });
      return allowed;
    },
  };
}

/** argon2id in the hashing process, which the primary asks for the workers. */
function hasherOfPrimary(): HashingClient {
  const client = createHashingClient(send);
  onMessage((message) => client.receive(message));
  process.on('disconnect', () => client.lose());
  return client;
}

async function sendMetrics(
  server: Pick<WorkerServer, 'metrics'>,
  { id }: MetricsQuestion,
  log: ServerLog,
): Promise<void> {
  try {
    send({ kind: 'metrics', id, metrics: await server.metrics() });
  } catch (error) {
    log.warn({ err: error }, 'the metrics of this worker could not be read');
  }
}

function onMessage(listener: (message: PrimaryMessage) => void): void {
  process.on('message', listener);
}

function send(message: WorkerMessage): void {
  if (process.connected) process.send?.(message);
}
