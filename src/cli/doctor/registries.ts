import type { Config, RegistrySettings } from '../../config/load.ts';
import type { SigningKey } from '../../keys/signing-key.ts';
import type { ProbeAnswer } from '../../rotation/canary.ts';
import { createProbe } from '../../rotation/canary.ts';
import { knownRegistries } from '../../rotation/known-registries.ts';
import { judgeChallenge, type RegistryAnswer } from './challenge.ts';
import { judgeClock, REGISTRY_CLOCK } from './clocks.ts';
import { describeFailure } from './connection.ts';
import { check, type Finding, failed, named, ok, reasonOf, type Verdict, warning } from './finding.ts';

interface Answer extends RegistryAnswer {
  /** How far its clock is ahead of ours; null without a `Date` header. */
  readonly aheadSeconds: number | null;
}

/** What the operator must change when the answer is wrong. */
const SETTINGS = {
  ifOther: 'give "registries" the address of the registry itself',
  ifOtherService: 'change its "auth.token.service", or "service" under "registries"',
} as const;
const TIMEOUT_MS = 5000;
/** HTTP dates have whole seconds, rounded down. */
const HALF_SECOND_MS = 500;

/** Asks every registry as a client without a token does, all at once. */
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
    const { status, challenge, aheadSeconds } = await askWithoutToken(url, now);
    const findings = [
      named(called, judgeChallenge(url, { status, challenge }, { realm, services: [service], ...SETTINGS })),
    ];
    if (aheadSeconds === null) return findings;
    return [
      ...findings,
      named(`${called} clock`, judgeClock(`the registry's`, aheadSeconds, REGISTRY_CLOCK)),
    ];
  } catch (error) {
    const cause = describeFailure(error) ?? `${reasonOf(error)}; start it, or correct its url`;
    return [named(called, failed(`${url} can't be reached: ${cause}`))];
  }
}

async function askWithoutToken(url: string, now: () => Date): Promise<Answer> {
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

/**
 * A registry that trusts one key refuses the next one until an admin has given it that key, so
 * the scheduled rotation waits for the admin.
 */
export function judgeSchedule(
  oneKey: readonly string[],
  { rotateEveryDays }: Pick<Config['keys'], 'rotateEveryDays'>,
): Verdict {
  if (oneKey.length === 0) return ok('no registry holds back the scheduled rotation by trusting one key');
  if (rotateEveryDays === 0) return ok(`keys rotate by hand, as ${oneKey.join(', ')} needs it`);
  return warning(
    `${oneKey.join(', ')} trusts one key, so the scheduled rotation waits until you give it the next one: see docs/registries.md, or set keys.rotate_every_days to 0 and rotate by hand`,
  );
}

/**
 * Sends every registry a token that grants nothing, signed by each key that this process could
 * open.
 */
export async function checkCanaries(
  config: Config,
  keys: readonly SigningKey[],
  now: () => Date,
): Promise<readonly Finding[]> {
  const { issuer, cell } = config;
  const probe = createProbe({ registries: () => knownRegistries(config), issuer, cell, now });
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

/** An unreachable registry is only a warning here, because it has a failed finding of its own. */
export function judgeCanary(state: 'active' | 'pending', { outcome, because }: ProbeAnswer): Verdict {
  if (outcome === 'accepted') return ok('the registry accepts the tokens of this key');
  if (outcome === 'unreachable')
    return warning(`the registry can't be reached, so it can't be asked: ${because}`);
  const remedy = 'give it "cellpass keys export-ca" (or "export-jwks") and restart it';
  return state === 'active'
    ? failed(`the registry refuses every token: ${because}; ${remedy}`)
    : warning(`the registry refuses this key: ${because}; ${remedy}, because the rotation waits for it`);
}
