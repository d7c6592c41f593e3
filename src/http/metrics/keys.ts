import { Gauge, type Registry } from 'prom-client';
import { activeKey, type KeyState, type StoredKey } from '../../keys/key-set.ts';
import type { Keyring } from '../../keys/keyring.ts';
import { type KeyPeriods, rotationDue } from '../../rotation/plan.ts';

const STATES: readonly KeyState[] = ['pending', 'active', 'retired', 'revoked'];
const MS = 1000;

/**
 * Key metrics that warn an operator early. Times are Unix times in seconds, so that an alert rule
 * compares them with `time()`. With several processes, the lowest value counts.
 */
export function keyMetrics(
  registry: Registry,
  keyring: Pick<Keyring, 'open'>,
  {
    periods,
    oneKeyRegistries,
    tlsExpiry,
  }: {
    readonly periods: KeyPeriods;
    readonly oneKeyRegistries: number;
    /** When the certificate of the listeners ends; null without TLS. */
    readonly tlsExpiry: () => Date | null;
  },
): void {
  const registers = [registry];
  const aggregator = 'min';
  new Gauge({
    name: 'cellpass_signing_keys',
    help: 'Signing keys by state',
    labelNames: ['state'],
    registers,
    aggregator,
    collect() {
      const { keys } = keyring.open().set;
      for (const state of STATES) this.set({ state }, keys.filter((key) => key.state === state).length);
    },
  });
  const activeKeyTime = (name: string, help: string, read: (active: StoredKey) => Date | null): Gauge =>
    new Gauge({
      name,
      help,
      registers,
      aggregator,
      collect() {
        const active = activeKey(keyring.open().set);
        const time = active === undefined ? null : read(active);
        if (time === null) this.remove();
        else this.set(time.getTime() / MS);
      },
    });
  activeKeyTime(
    'cellpass_active_key_activated_timestamp_seconds',
    'When the active key began to sign; its age is time() less this',
    (active) => active.activatedAt,
  );
  activeKeyTime(
    'cellpass_next_key_rotation_timestamp_seconds',
    'When the active key rotates automatically; missing where keys.rotate_every_days is 0',
    (active) => rotationDue(active, periods),
  );
  activeKeyTime(
    'cellpass_active_key_certificate_expiry_timestamp_seconds',
    "When the active key's certificate ends; leaves of the CA are renewed at a quarter of their life",
    (active) => active.certificate?.notAfter ?? null,
  );
  new Gauge({
    name: 'cellpass_tls_certificate_expiry_timestamp_seconds',
    help: 'When the TLS certificate ends that the listeners show; missing without CELLPASS_TLS_CERT',
    registers,
    aggregator,
    collect() {
      const time = tlsExpiry();
      if (time === null) this.remove();
      else this.set(time.getTime() / MS);
    },
  });
  new Gauge({
    name: 'cellpass_registries_of_one_key',
    help: 'Registries with "trusts: key": an admin must give each the next key, or the rotation waits',
    registers,
    aggregator: 'max',
  }).set(oneKeyRegistries);
  new Gauge({
    name: 'cellpass_ca_expiry_timestamp_seconds',
    help: 'When each published CA ends',
    labelNames: ['id', 'state'],
    registers,
    aggregator,
    collect() {
      this.reset();
      for (const { id, state, notAfter } of keyring.open().set.authorities) {
        if (state !== 'retired') this.set({ id, state }, notAfter.getTime() / MS);
      }
    },
  });
}
