import { overlap } from '../../authn/federation/claims.ts';
import { missingPins, pinOf } from '../../config/federated-claims.ts';
import { type IssuerRules, mustPinMessage } from '../../config/federation.ts';
import type { Path } from '../../config/yaml.ts';
import { didYouMean } from '../../nearest-name.ts';
import type { DirectoryDocument, FederatedIdentityEntry } from './document.ts';

type Report = (path: Path, message: string) => void;

/** How a document's identities are judged. */
export interface IdentityRules {
  /** What each issuer demands; null: the settings that say it are not known, or name none. */
  readonly issuers: IssuerRules | null;
  /** The warning where `issuers` is null. */
  readonly unknownIssuers: string;
}

/** Compares the identities of a document with the settings, and with each other. */
export function checkIdentities(
  { federated_identities: entries = [] }: DirectoryDocument,
  { issuers, unknownIssuers }: IdentityRules,
  { report, warn }: { readonly report: Report; readonly warn: Report },
): void {
  if (issuers === null && entries.length > 0) warn(['federated_identities'], unknownIssuers);
  if (issuers !== null) for (const entry of entries) checkPins(entry, issuers, report);
  for (const [one, other] of overlaps(entries.filter(hasClaims))) {
    warn(
      ['federated_identities', other.at],
      `${one.name} and ${other.name} overlap: a token that matches both is refused, so make a claim that both pin differ`,
    );
  }
}

/** Claims that can't be read are reported already, and were replaced by none. */
function hasClaims({ claims }: FederatedIdentityEntry): boolean {
  return Object.keys(claims).length > 0;
}

function checkPins(entry: FederatedIdentityEntry, issuers: IssuerRules, report: Report): void {
  const { at, issuer, claims } = entry;
  // An issuer that can't be read is reported already.
  if (issuer === '') return;
  const mustPin = Object.hasOwn(issuers, issuer) ? issuers[issuer] : undefined;
  if (mustPin === undefined) {
    const known = Object.keys(issuers).join(', ');
    report(
      ['federated_identities', at, 'issuer'],
      `there is no issuer "${issuer}": the settings of the server name ${known}${didYouMean(issuer, Object.keys(issuers))}`,
    );
    return;
  }
  if (!hasClaims(entry)) return;
  for (const claim of missingPins(claims, mustPin))
    report(['federated_identities', at, 'claims'], mustPinMessage(claim, issuer));
}

/** So many are told; a person mends the first and looks again. */
const MOST_OVERLAPS = 20;
/**
 * So many values are looked at, about a second's work: a document whose identities hardly differ is
 * not compared to its end.
 */
const MOST_VALUES_COMPARED = 5_000_000;

/** How many values may still be looked at. */
interface Budget {
  values: number;
}

type Pair = readonly [FederatedIdentityEntry, FederatedIdentityEntry];

/** Pairs that one token could match, in the order of their second entries. */
function overlaps(entries: readonly FederatedIdentityEntry[]): readonly Pair[] {
  const found: Pair[] = [];
  const budget = { values: MOST_VALUES_COMPARED };
  const sizes = new Map(entries.map((entry) => [entry, sizeOf(entry)]));
  for (const issuer of new Set(entries.map((entry) => entry.issuer))) {
    for (const pair of candidates(
      entries.filter((entry) => entry.issuer === issuer),
      budget,
    )) {
      for (const entry of pair) budget.values -= sizes.get(entry) ?? 0;
      if (budget.values < 0) return found;
      if (!overlap(pair[0].claims, pair[1].claims)) continue;
      found.push(pair);
      if (found.length === MOST_OVERLAPS) return found;
    }
  }
  return found;
}

/** How many values it pins. */
function sizeOf({ claims }: FederatedIdentityEntry): number {
  return Object.values(claims).reduce((sum, pin) => sum + (Array.isArray(pin) ? pin.length : 1), 0);
}

/**
 * Pairs that may overlap: not those that pin different whole values of one claim. Of thousands of
 * identities, each with the id of its own project, these are few.
 */
function* candidates(entries: readonly FederatedIdentityEntry[], budget: Budget): Generator<Pair> {
  const claim = mostPinned(entries);
  const byValue = new Map<string, FederatedIdentityEntry[]>();
  const withoutValue: FederatedIdentityEntry[] = [];
  for (const [place, entry] of entries.entries()) {
    const values = claim === undefined ? null : wholeValues(entry, claim);
    const rivals = values === null ? entries.slice(0, place) : [...withoutValue];
    for (const value of new Set(values ?? [])) rivals.push(...(byValue.get(value) ?? []));
    budget.values -= rivals.length;
    for (const rival of new Set(rivals)) yield [rival, entry];
    if (values === null) withoutValue.push(entry);
    for (const value of new Set(values ?? [])) {
      const same = byValue.get(value);
      if (same === undefined) byValue.set(value, [entry]);
      else same.push(entry);
    }
  }
}

/** The claim of which the identities pin the most different values. */
function mostPinned(entries: readonly FederatedIdentityEntry[]): string | undefined {
  const counts = new Map<string, Set<string>>();
  for (const entry of entries) {
    for (const name of Object.keys(entry.claims)) {
      const values = counts.get(name) ?? new Set();
      for (const value of wholeValues(entry, name) ?? []) values.add(value);
      counts.set(name, values);
    }
  }
  const [most] = [...counts].toSorted(([, a], [, b]) => b.size - a.size);
  return most?.[0];
}

/** Null: it pins no whole value of this claim. */
function wholeValues({ claims }: FederatedIdentityEntry, name: string): readonly string[] | null {
  const pin = pinOf(claims, name);
  if (pin === undefined) return null;
  if (typeof pin === 'string') return [pin];
  return 'prefix' in pin ? null : pin;
}
