import type { Config, RegistrySettings } from '../../config.ts';
import type { ProbeAnswer } from '../../keys/probe.ts';
import type { SigningKey } from '../../keys/signing-key.ts';
import { createProbe } from '../../token/canary.ts';
import { parseChallenge } from './challenge.ts';
import { judgeClock, REGISTRY_CLOCK } from './clocks.ts';
import { check, type Finding, failed, named, ok, reasonOf, type Verdict, warning } from './finding.ts';

/** What a registry's challenge must name; `realm` null where nobody can tell. */
export interface Expected {
  readonly realm: string | null;
  readonly service: string;
}

/** What a registry said to a call without a token. */
interface Answer {
  readonly status: number;
  readonly challenge: string | null;
  /** Null where it tells no time. */
  readonly aheadSeconds: number | null;
}

const TIMEOUT_MS = 5000;
/** HTTP dates have whole seconds, cut off. */
const HALF_SECOND_MS = 500;

/** Calls every registry as a client without a token would, all at once. */
export async function checkRegistries(
  registries: readonly RegistrySettings[],
  realm: string | null,
  now: () => Date,
): Promise<readonly Finding[]> {
  const findings = await Promise.all(registries.map((registry) => checkRegistry(registry, realm, now)));
  return findings.flat();
}

async function checkRegistry(
  { name, url, service }: RegistrySettings,
  realm: string | null,
  now: () => Date,
): Promise<readonly Finding[]> {
  const called = `registry ${name}`;
  try {
    const { status, challenge, aheadSeconds } = await ask(url, now);
    const findings = [named(called, judgeChallenge(url, status, challenge, { realm, service }))];
    if (aheadSeconds === null) return findings;
    return [
      ...findings,
      named(`${called} clock`, judgeClock(`the registry's`, aheadSeconds, REGISTRY_CLOCK)),
    ];
  } catch (error) {
    return [
      named(called, failed(`${url} can't be reached (${reasonOf(error)}): start it, or correct its url`)),
    ];
  }
}

async function ask(url: string, now: () => Date): Promise<Answer> {
  const before = now().getTime();
  const response = await fetch(`${url}/v2/`, { redirect: 'manual', signal: AbortSignal.timeout(TIMEOUT_MS) });
  const ours = (before + now().getTime()) / 2;
  await response.body?.cancel();
  const theirs = Date.parse(response.headers.get('Date') ?? '') + HALF_SECOND_MS;
  return {
    status: response.status,
    challenge: response.headers.get('WWW-Authenticate'),
    aheadSeconds: Number.isNaN(theirs) ? null : (theirs - ours) / 1000,
  };
}

/** What a registry's answer to `GET /v2/` without a token says of its settings. */
export function judgeChallenge(
  url: string,
  status: number,
  challenge: string | null,
  expected: Expected,
): Verdict {
  if (status === 200) {
    return failed(
      `${url}/v2/ asks for no token, so that everybody may do everything: give it an "auth: token" section`,
    );
  }
  if (status !== 401) {
    return failed(
      `${url}/v2/ answers ${status}, not 401: give "registries" the address of the registry itself`,
    );
  }
  const found = parseChallenge(challenge ?? '');
  if (found === undefined) {
    return failed(
      `its challenge is ${challenge ?? 'missing'}, not "Bearer realm=…": give it an "auth: token" section`,
    );
  }
  if (expected.realm !== null && !isSameUrl(found.realm, expected.realm)) {
    return failed(
      `it sends clients to realm ${found.realm ?? '(none)'}, but cellpass is at ${expected.realm}: change its "auth.token.realm", or CELLPASS_PUBLIC_URL`,
    );
  }
  if (found.service !== expected.service) {
    return failed(
      `it asks for service ${found.service ?? '(none)'}, but is configured here as ${expected.service}: change its "auth.token.service", or "service" under "registries"`,
    );
  }
  return ok(`sends clients here for ${expected.service}`);
}

/** The same but for what doesn't count, such as a default port. */
function isSameUrl(a: string | undefined, b: string): boolean {
  return a !== undefined && URL.canParse(a) && new URL(a).href === new URL(b).href;
}

/** Shows every registry a token that grants nothing, of each key that could be opened here. */
export async function checkCanaries(
  config: Config,
  keys: readonly SigningKey[],
  now: () => Date,
): Promise<readonly Finding[]> {
  const registries = config.registries.flatMap(({ name, url, service: asked }) =>
    config.services.filter(({ name: known }) => known === asked).map((service) => ({ name, url, service })),
  );
  const probe = createProbe({ registries: () => registries, issuer: config.issuer, cell: config.cell, now });
  const findings: Finding[] = [];
  for (const key of keys) {
    const state = key.state === 'pending' ? 'pending' : 'active';
    for (const answer of await probe(key)) {
      findings.push(
        await check(`registry ${answer.registry}, ${state} key`, () => judgeCanary(state, answer)),
      );
    }
  }
  return findings;
}

/** A registry that wasn't reached has its own finding, and no opinion of a key. */
export function judgeCanary(state: 'active' | 'pending', { outcome, because }: ProbeAnswer): Verdict {
  if (outcome === 'accepted') return ok('accepts its tokens');
  if (outcome === 'unreachable') return warning(`could not be asked: ${because}`);
  const remedy = 'give it "cellpass keys export-ca" (or "export-jwks") and restart it';
  return state === 'active'
    ? failed(`refuses every token: ${because}; ${remedy}`)
    : warning(`refuses it: ${because}; ${remedy}, or no rotation goes on`);
}
