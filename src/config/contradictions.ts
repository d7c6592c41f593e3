import type { Problem } from '../errors.ts';
import { isLoopback } from './loopback.ts';
import {
  daysToSeconds,
  leafOutlivesTokens,
  longestTokenLifeSeconds,
  SHORTEST_LIFE_SECONDS,
  shortestRotationSeconds,
} from './periods.ts';
import { toServices } from './services.ts';
import { type Settings, variable } from './settings.ts';

/** What is right by itself and wrong together. */
export function contradictions(given: Settings): readonly Problem[] {
  const problems: Problem[] = [];
  if ((given.tls_cert === undefined) !== (given.tls_key === undefined)) {
    const missing = given.tls_cert === undefined ? 'tls_cert' : 'tls_key';
    problems.push({
      path: variable(missing),
      message: 'is missing: the certificate and its key go together',
    });
  }
  const isEncrypted = given.tls_cert !== undefined && given.tls_key !== undefined;
  if (given.admin_listen !== undefined && !isEncrypted && !isLoopback(given.admin_listen.host)) {
    problems.push({
      path: variable('admin_listen'),
      message:
        'is not a loopback address, where admin tokens would be sent in the clear: set CELLPASS_TLS_CERT and CELLPASS_TLS_KEY',
    });
  }
  if (given.workers > 1 && given.database_url === undefined) {
    problems.push({
      path: variable('workers'),
      message: 'the embedded database belongs to one process: set CELLPASS_DATABASE_URL, or leave it at 1',
    });
  }
  return [
    ...problems,
    ...periodContradictions(given),
    ...reuseContradictions(given),
    ...registryContradictions(given),
  ];
}

/** What would let a token outlive the publication of its key, or its leaf certificate. */
function periodContradictions(given: Settings): readonly Problem[] {
  const { propagation_seconds, rotate_every_days, leaf_hours } = given.keys;
  const longest = longestTokenLifeSeconds(toServices(given));
  const problems: Problem[] = [];
  if (!leafOutlivesTokens(leaf_hours, longest)) {
    problems.push({
      path: 'CELLPASS_KEYS.leaf_hours',
      message: `${leaf_hours} hours are too short for tokens of up to ${longest} s: with a quarter of its life gone a leaf must still outlive them`,
    });
  }
  const shortest = shortestRotationSeconds(propagation_seconds, longest);
  if (rotate_every_days !== 0 && daysToSeconds(rotate_every_days) < shortest) {
    problems.push({
      path: 'CELLPASS_KEYS.rotate_every_days',
      message: `must be at least ${shortest} s (${(shortest / 86_400).toFixed(4)} days): keys.propagation_seconds, and the longest life of a token with a minute; or 0 for never`,
    });
  }
  return problems;
}

/** Clients take a token for good for a minute at the least, however old it was when they got it. */
function reuseContradictions(given: Settings): readonly Problem[] {
  return toServices(given).flatMap(({ name, tokenReuseSeconds, tokenTtlSeconds, pushTtlSeconds }) => {
    const most = Math.min(tokenTtlSeconds, pushTtlSeconds) - SHORTEST_LIFE_SECONDS;
    if (tokenReuseSeconds <= most) return [];
    const message = `must be ${most} at the most: tokens live ${most + SHORTEST_LIFE_SECONDS} s, and the last minute is not given again`;
    return [{ path: `CELLPASS_SERVICES.${name}.token_reuse_seconds`, message }];
  });
}

function registryContradictions({ registries, services: known }: Settings): readonly Problem[] {
  const problems: Problem[] = [];
  const names = new Set<string>();
  for (const [index, { name, service }] of registries.entries()) {
    const path = `CELLPASS_REGISTRIES.${index}`;
    if (names.has(name)) problems.push({ path: `${path}.name`, message: `${name} is named twice` });
    names.add(name);
    if (service !== undefined && known[service] === undefined) {
      problems.push({ path: `${path}.service`, message: `${service} is not among the services` });
    }
  }
  return problems;
}
