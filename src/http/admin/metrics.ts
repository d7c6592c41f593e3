import type { Middleware } from 'koa';
import { Gauge, Registry } from 'prom-client';
import type { KeyState, StoredKey } from '../../keys/key-set.ts';
import type { Keyring } from '../../keys/keyring.ts';

const STATES: readonly KeyState[] = ['pending', 'active', 'retired', 'revoked'];
const MS = 1000;

/** What an operator must hear of long before it matters. Times are Unix times in seconds, so that a rule compares them with `time()`. */
export function keyMetrics(keyring: Pick<Keyring, 'open'>): Registry {
  const registry = new Registry();
  const registers = [registry];
  new Gauge({
    name: 'cellpass_signing_keys',
    help: 'Signing keys by state',
    labelNames: ['state'],
    registers,
    collect() {
      const { keys } = keyring.open().set;
      for (const state of STATES) this.set({ state }, keys.filter((key) => key.state === state).length);
    },
  });
  new Gauge({
    name: 'cellpass_active_key_activated_timestamp_seconds',
    help: 'When the active key began to sign',
    registers,
    collect() {
      const activatedAt = activeKeyOf(keyring)?.activatedAt;
      if (activatedAt != null) this.set(activatedAt.getTime() / MS);
    },
  });
  new Gauge({
    name: 'cellpass_active_key_certificate_expiry_timestamp_seconds',
    help: "When the active key's certificate ends; leaves of the CA are issued anew at a quarter of their life",
    registers,
    collect() {
      const certificate = activeKeyOf(keyring)?.certificate;
      if (certificate != null) this.set(certificate.notAfter.getTime() / MS);
    },
  });
  new Gauge({
    name: 'cellpass_ca_expiry_timestamp_seconds',
    help: 'When each CA that registries are given ends',
    labelNames: ['id', 'state'],
    registers,
    collect() {
      this.reset();
      for (const { id, state, notAfter } of keyring.open().set.authorities) {
        if (state !== 'retired') this.set({ id, state }, notAfter.getTime() / MS);
      }
    },
  });
  return registry;
}

function activeKeyOf(keyring: Pick<Keyring, 'open'>): StoredKey | undefined {
  return keyring.open().set.keys.find(({ state }) => state === 'active');
}

/** Prometheus' text format. */
export function metrics(registry: Registry): Middleware {
  return async (ctx) => {
    ctx.body = await registry.metrics();
    ctx.type = registry.contentType;
  };
}
