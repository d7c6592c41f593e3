import { didYouMean } from '../nearest-name.ts';
import { federationContradictions } from './federation.ts';
import { gitlabContradictions } from './gitlab.ts';
import type { ExplainedIssue } from './issues.ts';
import { isLoopback } from './loopback.ts';
import {
  daysToSeconds,
  leafOutlivesTokens,
  longestTokenLifeSeconds,
  SHORTEST_LIFE_SECONDS,
  shortestRotationSeconds,
} from './periods.ts';
import { railsContradictions } from './rails.ts';
import { toServices } from './services.ts';
import type { Settings } from './settings.ts';

/** Settings that are valid alone but not together. Paths are those of the settings file. */
export function contradictions(given: Settings): readonly ExplainedIssue[] {
  return [
    ...tlsContradictions(given),
    ...workerContradictions(given),
    ...databaseContradictions(given),
    ...periodContradictions(given),
    ...reuseContradictions(given),
    ...registryContradictions(given),
    ...gitlabContradictions(given.gitlab, given.database_url),
    ...railsContradictions(given.gitlab, {
      hasDatabase: given.gitlab.database_url !== undefined,
      publicUrl: given.public_url,
    }),
    ...federationContradictions(given.federation, {
      publicUrl: given.public_url,
      ownIssuer: given.issuer,
      services: Object.keys(given.services),
      isOnGitlab: given.gitlab.database_url !== undefined,
    }),
  ];
}

function tlsContradictions(given: Settings): readonly ExplainedIssue[] {
  const problems: ExplainedIssue[] = [];
  if ((given.tls_cert === undefined) !== (given.tls_key === undefined)) {
    const missing = given.tls_cert === undefined ? 'tls_cert' : 'tls_key';
    problems.push({
      path: [missing],
      message: 'is missing: set the certificate and its key together, or neither',
    });
  }
  const isEncrypted = given.tls_cert !== undefined && given.tls_key !== undefined;
  if (given.admin_listen !== undefined && !isEncrypted && !isLoopback(given.admin_listen.host)) {
    problems.push({
      path: ['admin_listen'],
      message: `${given.admin_listen.host} is not a loopback address, so admin tokens would be sent unencrypted: set CELLPASS_TLS_CERT and CELLPASS_TLS_KEY`,
    });
  }
  return problems;
}

function workerContradictions({ workers, database_url }: Settings): readonly ExplainedIssue[] {
  if (workers === 1 || database_url !== undefined) return [];
  const message = `must be 1, but is ${workers}: the embedded database serves one process; for more workers set CELLPASS_DATABASE_URL`;
  return [{ path: ['workers'], message }];
}

function databaseContradictions(given: Settings): readonly ExplainedIssue[] {
  if (given.database_url !== undefined) return [];
  const message = 'needs CELLPASS_DATABASE_URL: the embedded database has no connections';
  return given.database_listen_url === undefined ? [] : [{ path: ['database_listen_url'], message }];
}

/** Periods that let a token outlive the publication of its key, or its leaf certificate. */
function periodContradictions(given: Settings): readonly ExplainedIssue[] {
  const { propagation_seconds, rotate_every_days, leaf_hours } = given.keys;
  const longest = longestTokenLifeSeconds(toServices(given));
  const problems: ExplainedIssue[] = [];
  if (!leafOutlivesTokens(leaf_hours, longest)) {
    problems.push({
      path: ['keys', 'leaf_hours'],
      message: `${leaf_hours} hours are too short for tokens that live up to ${longest} s: a leaf certificate must outlive them with a quarter of its life used up`,
    });
  }
  const shortest = shortestRotationSeconds(propagation_seconds, longest);
  if (rotate_every_days !== 0 && daysToSeconds(rotate_every_days) < shortest) {
    problems.push({
      path: ['keys', 'rotate_every_days'],
      message: `must be at least ${shortest} s (${(shortest / 86_400).toFixed(4)} days), which is keys.propagation_seconds plus the longest life of a token plus a minute; or 0, to rotate by hand only`,
    });
  }
  return problems;
}

/** Clients use a token for at least a minute after they got it, however old it was. */
function reuseContradictions(given: Settings): readonly ExplainedIssue[] {
  return toServices(given).flatMap(({ name, tokenReuseSeconds, tokenTtlSeconds, pushTtlSeconds }) => {
    const most = Math.min(tokenTtlSeconds, pushTtlSeconds) - SHORTEST_LIFE_SECONDS;
    if (tokenReuseSeconds <= most) return [];
    const message = `must be ${most} or less, but is ${tokenReuseSeconds}: tokens live ${most + SHORTEST_LIFE_SECONDS} s, and a token is not reused in its last minute`;
    return [{ path: ['services', name, 'token_reuse_seconds'], message }];
  });
}

function registryContradictions({ registries, services }: Settings): readonly ExplainedIssue[] {
  const problems: ExplainedIssue[] = [];
  const names = new Set<string>();
  for (const [index, { name, service }] of registries.entries()) {
    if (names.has(name)) {
      problems.push({
        path: ['registries', index, 'name'],
        message: `another registry is named ${name}, too`,
      });
    }
    names.add(name);
    if (service !== undefined && services[service] === undefined) {
      const known = Object.keys(services).join(', ');
      problems.push({
        path: ['registries', index, 'service'],
        message: `there is no service ${service}: it must be one of the services ${known}${didYouMean(service, Object.keys(services))}`,
      });
    }
  }
  return problems;
}
