import { z } from 'zod';
import { didYouMean } from '../nearest-name.ts';
import { type ClaimPins, claimPins, missingPins } from './federated-claims.ts';
import type { ExplainedIssue } from './issues.ts';
import { number } from './number.ts';
import { readCertificates } from './pem-files.ts';

/**
 * The section `federation` of the settings: whose ID tokens may be used as passwords. Only the
 * operator can name an issuer; the directory says which tokens of an issuer stand for whom.
 */

/** Asymmetric ones: with a secret key, whoever can verify can also sign. */
const ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
] as const;
export type IdTokenAlgorithm = (typeof ALGORITHMS)[number];

const PRESETS = ['github', 'gitlab', 'kubernetes', 'buildkite', 'circleci'] as const;
type IssuerPreset = (typeof PRESETS)[number];

interface PresetRules {
  /** Null: each instance has its own. */
  readonly issuer: string | null;
  /**
   * The claims that name the tenant and can't be recycled. All tenants of a platform have one
   * issuer, so that an identity without them would let strangers in.
   */
  readonly mustPin: readonly string[];
  /** Where its keys are, if not by discovery alone. */
  readonly keys: { readonly path: string; readonly afterDiscovery: boolean } | null;
}

/** Checked against the documentation of each platform; docs/keyless.md has the sources. */
const PRESET_RULES: Record<IssuerPreset, PresetRules> = {
  github: {
    issuer: 'https://token.actions.githubusercontent.com',
    mustPin: ['repository_id'],
    keys: null,
  },
  gitlab: {
    issuer: null,
    mustPin: ['project_id'],
    keys: { path: '/oauth/discovery/keys', afterDiscovery: false },
  },
  kubernetes: { issuer: null, mustPin: ['sub'], keys: { path: '/openid/v1/jwks', afterDiscovery: true } },
  buildkite: { issuer: 'https://agent.buildkite.com', mustPin: ['organization_id'], keys: null },
  circleci: { issuer: null, mustPin: ['oidc.circleci.com/project-id'], keys: null },
};

export interface IssuerSettings {
  /** The operator's name for it, in records, metrics and the directory. */
  readonly name: string;
  /** The claim `iss`, letter for letter. */
  readonly issuer: string;
  readonly preset: IssuerPreset | null;
  /** The claim `aud`, or one of them. */
  readonly audience: string;
  readonly algorithms: readonly IdTokenAlgorithm[];
  readonly mustPin: readonly string[];
  /** Where its keys are. */
  readonly keys: KeyLocation;
}

export interface KeyLocation {
  /** Null: the discovery document says it. */
  readonly jwksUri: string | null;
  /** Where they are if there is no discovery document; null: nowhere. */
  readonly fallbackUri: string | null;
  /** PEM: who may have signed the certificate of the server; null: Node's CAs. */
  readonly caFile: string | null;
}

/** An identity of the settings, where GitLab's database is the directory. */
export interface ConfiguredIdentity {
  readonly name: string;
  readonly issuer: string;
  /** The name of a user of GitLab. */
  readonly account: string;
  readonly scopes: readonly string[];
  readonly claims: ClaimPins;
  /** `yyyy-mm-dd`: valid through the day before, in UTC. */
  readonly expiresOn: string | null;
}

export interface FederationSettings {
  readonly issuers: readonly IssuerSettings[];
  /** Of an ID token, from `iat` to `exp`. */
  readonly maxLifetimeSeconds: number;
  readonly exchangeTtlSeconds: number;
  /** Empty with the own directory, whose documents have them. */
  readonly identities: readonly ConfiguredIdentity[];
}

/** The name of an issuer's entry, or of an identity. */
export const federationName = z
  .string()
  .max(64)
  .regex(/^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?$/, 'must be letters in lower case, digits, "-" and "_"');

/** What a token must have letter for letter, so that a space that nobody sees would refuse every token. */
const text = z
  .string()
  .min(1)
  .max(1024)
  .refine((given) => given.trim() === given, 'must not begin or end with white space');
const issuer = z.strictObject({
  issuer: text.optional(),
  preset: z.enum(PRESETS).optional(),
  jwks_uri: text.optional(),
  ca_file: z.string().min(1).optional(),
  audience: text.optional(),
  algorithms: z
    .array(z.enum(ALGORITHMS, `must be one of: ${ALGORITHMS.join(', ')}`), 'must be a list')
    .min(1, 'must not be empty: leave it out for RS256 and ES256')
    .default(['RS256', 'ES256']),
  must_pin: z.array(text, 'must be a list of claims').default([]),
});

const scope = z
  .string()
  .max(255)
  .regex(/^[a-z][a-z0-9_:]*$/, 'must be a scope such as read_registry');
const identity = z.strictObject({
  name: federationName,
  issuer: federationName,
  account: z.string().min(1).max(255),
  scopes: z.array(scope, 'must be a list of scopes').min(1, 'must name at least one scope'),
  claims: claimPins,
  expires_at: z.iso.date('must be a date that exists, as yyyy-mm-dd').nullish(),
});

export const federationSettings = z.strictObject({
  audience: text.optional(),
  max_lifetime_seconds: number
    .pipe(
      z
        .number()
        .int()
        .min(60)
        .max(7 * 86_400),
    )
    .default(86_400),
  exchange_ttl_seconds: number.pipe(z.number().int().min(300).max(3600)).default(900),
  issuers: z
    .record(federationName, issuer)
    .refine((byName) => Object.keys(byName).length > 0, 'must name at least one issuer'),
  identities: z.array(identity, 'must be a list').optional(),
});

type Given = z.output<typeof federationSettings>;

/** The settings that the section depends on. */
interface Context {
  readonly publicUrl: string | undefined;
  readonly ownIssuer: string;
  readonly services: readonly string[];
  readonly isOnGitlab: boolean;
}

/** Label of metrics for tokens of issuers that the settings do not name. */
const RESERVED_NAME = 'unknown';

/** Settings of the section that are valid alone but not together, and unusable files. */
export function federationContradictions(given: Given | undefined, context: Context): ExplainedIssue[] {
  if (given === undefined) return [];
  const problems: ExplainedIssue[] = [];
  const report = (path: readonly (string | number)[], message: string): void =>
    void problems.push({ path: ['federation', ...path], message });
  const seen = new Map<string, string>();
  for (const [name, entry] of Object.entries(given.issuers)) {
    const at = ['issuers', name];
    const rules = entry.preset && PRESET_RULES[entry.preset];
    const url = entry.issuer ?? rules?.issuer;
    if (name === RESERVED_NAME) report(at, `is taken: metrics count other issuers as "${RESERVED_NAME}"`);
    if (url === undefined || url === null) {
      report([...at, 'issuer'], 'is missing: it must be the claim iss of the tokens, letter for letter');
      continue;
    }
    checkUrls(entry, url, (field, message) => report([...at, field], message));
    if (entry.ca_file !== undefined) {
      const problem = problemOfCa(entry.ca_file);
      if (problem !== null) report([...at, 'ca_file'], problem);
    }
    if (url === context.ownIssuer || url === context.publicUrl)
      report([...at, 'issuer'], 'is this server itself (CELLPASS_ISSUER): its own tokens are no ID tokens');
    if (rules === undefined && entry.must_pin.length === 0)
      report(
        [...at, 'must_pin'],
        'is missing: without a preset it must name the claims that tell tenants apart, such as sub',
      );
    const audience = audienceOf(entry, given, context.publicUrl);
    const audienceAt = entry.audience === undefined ? ['audience'] : [...at, 'audience'];
    if (audience === null) {
      report(audienceAt, 'is missing: set it, or CELLPASS_PUBLIC_URL');
      continue;
    }
    if (context.services.includes(audience))
      report(
        audienceAt,
        `is the name of a service, ${audience}: a registry's token could be used as an ID token`,
      );
    const key = JSON.stringify([url, audience]);
    const other = seen.get(key);
    if (other !== undefined)
      report(at, `has the issuer and the audience of federation.issuers.${other}: give it another audience`);
    seen.set(key, name);
  }
  checkIdentities(given, context, report);
  return unique(problems);
}

function checkUrls(
  { jwks_uri }: Given['issuers'][string],
  url: string,
  report: (field: string, message: string) => void,
): void {
  if (jwks_uri !== undefined) {
    if (!isHttps(jwks_uri)) report('jwks_uri', 'must be an https URL without user and fragment');
  } else if (!isHttps(url) || url.includes('?')) {
    // OpenID Connect Discovery 1.0 section 2: the path of the discovery document comes after it.
    report(
      'issuer',
      'must be an https URL without user, query and fragment, or jwks_uri must say where its keys are',
    );
  }
}

function isHttps(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, username, password, hash } = new URL(text);
  return protocol === 'https:' && username === '' && password === '' && hash === '';
}

function problemOfCa(file: string): string | null {
  try {
    readCertificates(file);
    return null;
  } catch (error) {
    return `can't be used: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function checkIdentities(
  { identities, issuers }: Given,
  { isOnGitlab }: Context,
  report: (path: readonly (string | number)[], message: string) => void,
): void {
  if (identities === undefined) return;
  if (!isOnGitlab) {
    report(
      ['identities'],
      'belongs into the directory document (federated_identities): it is for GitLab as the directory alone',
    );
    return;
  }
  const names = new Map<string, number>();
  for (const [at, { name, issuer: issuerName, claims }] of identities.entries()) {
    const other = names.get(name);
    if (other !== undefined) report(['identities', at, 'name'], `is also that of identities.${other}`);
    else names.set(name, at);
    const entry = Object.hasOwn(issuers, issuerName) ? issuers[issuerName] : undefined;
    if (entry === undefined) {
      report(
        ['identities', at, 'issuer'],
        `there is no issuer ${issuerName} in federation.issuers${didYouMean(issuerName, Object.keys(issuers))}`,
      );
      continue;
    }
    for (const missing of missingPins(claims, mustPinOf(entry)))
      report(['identities', at, 'claims'], mustPinMessage(missing, issuerName));
  }
}

/** The sentence for an identity that would let strangers of the same platform in. */
export function mustPinMessage(claim: string, issuerName: string): string {
  return `must pin ${claim}, because ${issuerName} signs tokens of others, too`;
}

function mustPinOf({ preset, must_pin }: Given['issuers'][string]): readonly string[] {
  return [...new Set([...(preset === undefined ? [] : PRESET_RULES[preset].mustPin), ...must_pin])];
}

function audienceOf(
  { audience }: Given['issuers'][string],
  given: Given,
  publicUrl: string | undefined,
): string | null {
  return audience ?? given.audience ?? publicUrl ?? null;
}

/** One problem of the common audience, not one for each issuer. */
function unique(problems: readonly ExplainedIssue[]): ExplainedIssue[] {
  return [...new Map(problems.map((one) => [JSON.stringify(one), one])).values()];
}

/** Null: no ID tokens are taken. */
export function toFederationSettings(
  given: Given | undefined,
  publicUrl: string | undefined,
): FederationSettings | null {
  if (given === undefined) return null;
  return {
    maxLifetimeSeconds: given.max_lifetime_seconds,
    exchangeTtlSeconds: given.exchange_ttl_seconds,
    issuers: Object.entries(given.issuers).map(([name, entry]) => ({
      name,
      issuer: entry.issuer ?? (entry.preset && PRESET_RULES[entry.preset].issuer) ?? '',
      preset: entry.preset ?? null,
      audience: audienceOf(entry, given, publicUrl) ?? '',
      algorithms: entry.algorithms,
      mustPin: mustPinOf(entry),
      keys: keyLocationOf(entry),
    })),
    identities: (given.identities ?? []).map(({ expires_at, ...one }) => ({
      ...one,
      expiresOn: expires_at ?? null,
    })),
  };
}

function keyLocationOf({ issuer: url, preset, jwks_uri, ca_file }: Given['issuers'][string]): KeyLocation {
  const caFile = ca_file ?? null;
  if (jwks_uri !== undefined) return { jwksUri: jwks_uri, fallbackUri: null, caFile };
  const keys = preset && PRESET_RULES[preset].keys;
  if (keys === undefined || keys === null || url === undefined)
    return { jwksUri: null, fallbackUri: null, caFile };
  const uri = `${url.replace(/\/+$/, '')}${keys.path}`;
  return keys.afterDiscovery
    ? { jwksUri: null, fallbackUri: uri, caFile }
    : { jwksUri: uri, fallbackUri: null, caFile };
}

/** What a directory document is checked against: the demands of each issuer, by its name. */
export type IssuerRules = Readonly<Record<string, readonly string[]>>;

/** The audiences of the ID tokens that this server takes, each once. */
export function audiencesOf({
  federation,
}: {
  readonly federation: FederationSettings | null;
}): readonly string[] {
  return [...new Set((federation?.issuers ?? []).map(({ audience }) => audience))];
}

export function issuerRulesOf({ issuers }: Pick<FederationSettings, 'issuers'>): IssuerRules {
  return Object.fromEntries(issuers.map(({ name, mustPin }) => [name, mustPin]));
}
