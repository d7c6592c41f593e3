import assert from 'node:assert/strict';
import { Registry } from 'prom-client';
import { createCanaryMetrics } from '../../../src/http/metrics/canaries.ts';
import { keyMetrics } from '../../../src/http/metrics/keys.ts';

describe('the metrics of canary tokens', () => {
  it('have the time of the last answer of each kind, by registry', async () => {
    const registry = new Registry();
    let seconds = 1_800_000_000;
    const observe = createCanaryMetrics(registry, () => new Date(seconds * 1000));
    observe([
      { registry: 'main', outcome: 'refused', because: 'not yet' },
      { registry: 'eu', outcome: 'unreachable', because: 'away' },
    ]);
    seconds += 60;
    observe([{ registry: 'main', outcome: 'accepted', because: 'accepted' }]);
    const [metric] = await registry.getMetricsAsJSON();
    assert.deepEqual(
      metric?.values.map(({ labels, value }) => [labels['registry'], labels['outcome'], value]),
      [
        ['main', 'refused', 1_800_000_000],
        ['eu', 'unreachable', 1_800_000_000],
        ['main', 'accepted', 1_800_000_060],
      ],
    );
  });
});

describe('the metric of the TLS certificate', () => {
  const read = async (tlsExpiry: () => Date | null): Promise<readonly unknown[] | undefined> => {
    const registry = new Registry();
    const keyring = { open: () => ({ set: { keys: [], authorities: [] } }) };
    const periods = { propagationSeconds: 300, rotateEverySeconds: 0 };
    keyMetrics(registry, keyring as unknown as Parameters<typeof keyMetrics>[1], {
      periods,
      oneKeyRegistries: 0,
      tlsExpiry,
    });
    const metrics = await registry.getMetricsAsJSON();
    return metrics
      .find(({ name }) => name === 'cellpass_tls_certificate_expiry_timestamp_seconds')
      ?.values.map(({ value }) => value);
  };

  it('is its end, and missing without TLS', async () => {
    assert.deepEqual(await read(() => new Date(1_800_000_000_000)), [1_800_000_000]);
    assert.deepEqual(await read(() => null), []);
  });
});
