import { type FetchedKeySet, fetchKeySet } from '../../authn/federation/fetch-keys.ts';
import { readKeySet } from '../../authn/federation/key-set.ts';
import type { FederationSettings, IssuerSettings } from '../../config/federation.ts';
import type { IssuerListView } from '../../http/types.ts';
import type { Terminal } from '../../terminal.ts';
import { dataOf, withAdmin } from '../client/admin-client.ts';
import { type ClockTolerance, judgeClock } from './clocks.ts';
import { describeFailure } from './connection.ts';
import { checkWithValue, type Finding, failed, named, ok, type Verdict, warning } from './finding.ts';

/** ID tokens are accepted 30 s before they are valid, and not a second after they end. */
const ISSUER_CLOCK: ClockTolerance = { warnSeconds: 5, failSeconds: 30 };
const TIMEOUT_MS = 5000;
/** HTTP dates have whole seconds, rounded down. */
const HALF_SECOND_MS = 500;
/** Two refreshes that failed. */
const OLD_SECONDS = 25 * 60;

/** Asks each issuer of ID tokens for its keys, and a running server how old its own copies are. */
export async function checkFederation(
  terminal: Terminal,
  { issuers }: FederationSettings,
  now: () => Date,
): Promise<readonly Finding[]> {
  const fetched = await Promise.all(issuers.map((issuer) => checkIssuer(issuer, now)));
  return [...fetched.flat(), ...(await checkCopies(terminal))];
}

async function checkIssuer(entry: IssuerSettings, now: () => Date): Promise<readonly Finding[]> {
  const name = `issuer ${entry.name}`;
  const before = now().getTime();
  const { finding, value } = await checkWithValue(name, async () => {
    const found = await fetchKeySet(entry).catch((error: unknown) => {
      const cause = describeFailure(error);
      throw cause === null
        ? error
        : new Error(`its keys can't be fetched: ${cause}; ca_file names a CA of its own`);
    });
    return { value: found, verdict: judgeKeys(found) };
  });
  if (value?.date == null) return [finding];
  const ours = (before + now().getTime()) / 2;
  const aheadSeconds = (value.date.getTime() + HALF_SECOND_MS - ours) / 1000;
  return [finding, named(`${name} clock`, judgeClock("the issuer's", aheadSeconds, ISSUER_CLOCK))];
}

export function judgeKeys({ url, document }: Pick<FetchedKeySet, 'url' | 'document'>): Verdict {
  const { keys, warnings } = readKeySet(document);
  if (keys.length === 0)
    return failed(`${url} has no key with which an ID token can be verified${because(warnings)}`);
  const message = `${url} has ${keys.length} keys`;
  return warnings.length === 0
    ? ok(message)
    : warning(`${message}, and others that are left out${because(warnings)}`);
}

function because(warnings: readonly string[]): string {
  return warnings.length === 0 ? '' : `: ${warnings.join('; ')}`;
}

/** No finding where no server runs here, or where it is an older one. */
async function checkCopies(terminal: Terminal): Promise<readonly Finding[]> {
  return withAdmin(terminal, {}, async ({ api }) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const answer = await api.GET('/admin/v1/federation/issuers', { signal }).catch(() => undefined);
    if (answer === undefined || !answer.response.ok) return [];
    return dataOf(answer).issuers.map((issuer) => named(`issuer ${issuer.name} in use`, judgeCopy(issuer)));
  }).catch(() => []);
}

export function judgeCopy({
  keys,
  age_seconds: age,
  problem,
}: Pick<IssuerListView['issuers'][number], 'keys' | 'age_seconds' | 'problem'>): Verdict {
  const cause = problem === null ? '' : ` (${problem})`;
  if (keys === 0 || age === null)
    return failed(
      `the running server knows no key of the issuer, so its ID tokens are answered with 503${cause}`,
    );
  const message = `the running server has ${keys} keys, fetched ${age} s ago`;
  if (age < OLD_SECONDS) return ok(message);
  return warning(
    `${message}, because the issuer can't be asked${cause}: after 24 hours its ID tokens are answered with 503`,
  );
}
