import { X509Certificate } from 'node:crypto';
import { keyMetrics } from '../../http/metrics/keys.ts';
import { type Sources, sourceMetrics } from '../../http/metrics/sources.ts';
import { registriesOfOneKey } from '../../rotation/known-registries.ts';
import { readVersion } from '../../version.ts';
import type { SharedServices } from './endpoints.ts';
import type { ServerInputs } from './inputs.ts';
import { periodsOf } from './keys.ts';
import type { RecordViews } from './records.ts';

/**
 * Registers the metrics that parts of the server count themselves; each is read when Prometheus
 * asks.
 */
export function registerStats(
  { config, database, logLinesLost = () => 0, tlsCertificate = () => null }: ServerInputs,
  { registry, source, keyring, clock, passwords, cells }: SharedServices,
  { failedAttempts, audit, refusals }: RecordViews,
  shares: Sources['shares'],
): void {
  const oneKeyRegistries = registriesOfOneKey(config).length;
  keyMetrics(registry, keyring, {
    periods: periodsOf(config),
    oneKeyRegistries,
    tlsExpiry: () => expiryOf(tlsCertificate()),
  });
  sourceMetrics(registry, {
    version: readVersion(),
    pool: () => database.poolStats(),
    lanes: () => database.pipelineStats(),
    clock: () => clock.stats(),
    directoryCache: () => source.stats(),
    passwords: () => passwords.stats(),
    shares: { ...shares, topology_service: () => cells.shareStats() },
    lockouts: () => failedAttempts.lockouts(),
    audit: () => audit.stats(),
    refusalsDropped: () => refusals.dropped(),
    topologyService: () => cells.serviceStats(),
    logLinesLost,
  });
}

function expiryOf(pem: string | null): Date | null {
  return pem === null ? null : new Date(new X509Certificate(pem).validTo);
}
