import { Counter, Gauge, type Registry } from 'prom-client';
import type { IssuerKeyStats } from '../../authn/federation/issuer-keys.ts';

/** The label of ID tokens whose issuer the settings do not name: what a stranger writes is no label. */
const STRANGER = 'unknown';

/** Counts the ID tokens that clients showed. */
export function createFederationMetrics(
  registry: Registry,
): (issuer: string | null, outcome: string) => void {
  const logins = new Counter({
    name: 'cellpass_federated_logins_total',
    help: 'Requests with an ID token, as the password or for an exchange, by its issuer and by what came of it',
    labelNames: ['issuer', 'outcome'],
    registers: [registry],
  });
  return (issuer, outcome) => logins.inc({ issuer: issuer ?? STRANGER, outcome });
}

/** Shows how old the keys of each issuer are. */
export function issuerKeyMetrics(registry: Registry, stats: () => readonly IssuerKeyStats[]): void {
  const registers = [registry];
  const keys = new Gauge({
    name: 'cellpass_federation_keys',
    help: 'Keys of each issuer of ID tokens with which tokens can be verified now',
    labelNames: ['issuer'],
    registers,
    collect() {
      for (const { name, keys: count } of stats()) keys.set({ issuer: name }, count);
    },
  });
  const age = new Gauge({
    name: 'cellpass_federation_keys_age_seconds',
    help: 'Time since the keys of each issuer of ID tokens were fetched',
    labelNames: ['issuer'],
    registers,
    collect() {
      for (const { name, ageSeconds } of stats())
        if (ageSeconds !== null) age.set({ issuer: name }, ageSeconds);
    },
  });
}
