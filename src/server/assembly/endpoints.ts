import type { Registry as MetricsRegistry } from 'prom-client';
import type { AdminDeps, PublicDeps } from '../../app.ts';
import type { PasswordHasher } from '../../authn/password.ts';
import type { DirectorySource } from '../../authn/source.ts';
import type { CurrentTopology } from '../../cells/current-topology.ts';
import { longestTokenLifeSeconds } from '../../config/periods.ts';
import type { RailsRules } from '../../config/rails.ts';
import { isTrial } from '../../config/trial.ts';
import { mintToken } from '../../directory/tokens/mint.ts';
import { readTokenPage } from '../../directory/tokens/page.ts';
import { revokeAndRecord } from '../../directory/tokens/revoke.ts';
import { CellpassError } from '../../errors.ts';
import { createExpiringMap } from '../../expiring-map.ts';
import type { DirectoryResource } from '../../http/admin/directory.ts';
import { createClientAddressReader, toClientAddress, trustIn } from '../../http/client-address.ts';
import { loadContract } from '../../http/contract.ts';
import type { ObserveUnread } from '../../http/listener/unread-requests.ts';
import type { MetricsReport } from '../../http/metrics/report.ts';
import type { RequestMetrics } from '../../http/metrics/requests.ts';
import type { TokenEndpoint } from '../../http/token/endpoint.ts';
import type { Forwarder } from '../../http/token/forward.ts';
import type { Judge } from '../../http/token/judge.ts';
import type { RailsClient } from '../../http/token/rails/client.ts';
import { createComparer } from '../../http/token/rails/comparer.ts';
import type { RailsBeside } from '../../http/token/rails/passing.ts';
import type { ClockCheck } from '../../keys/clock-check.ts';
import type { Keyring } from '../../keys/keyring.ts';
import { openRevocationFile } from '../../records/revocation-file.ts';
import type { Turns } from '../../shares/turns.ts';
import {
  createAdminToken,
  findAdminSecret,
  listAdminTokens,
  recogniseAdminToken,
  revokeAdminToken,
} from '../../store/admin-tokens.ts';
import { deleteJobToken, putJobToken } from '../../store/directory/job-tokens.ts';
import { findToken } from '../../store/directory/tokens.ts';
import { claimsOfIssuer } from '../../store/federation/identities.ts';
import { findDifference, reportComparisons } from '../../store/records/differences.ts';
import { searchIssuedTokens } from '../../store/records/issued-token-search.ts';
import { searchRefusals } from '../../store/records/refusal-search.ts';
import { findRefusal } from '../../store/records/refusals.ts';
import { createGitlabQuestions } from '../../store/source/gitlab/questions/questions.ts';
import type { GitlabSource } from '../../store/source/gitlab/source.ts';
import { createOwnQuestions } from '../../store/source/own/questions.ts';
import type { RememberingSource } from '../../store/source/remembered.ts';
import { createReuse } from '../../token/reuse.ts';
import { createUserClaims } from '../../token/user-claim.ts';
import { backupsOf } from './backup.ts';
import { configuredClaims, exchangeOf, type Federation, federationResource } from './federation.ts';
import { JOB_TOKENS_IN_GITLAB, tokensInGitlab } from './gitlab.ts';
import { historyOf } from './history.ts';
import type { ServerInputs } from './inputs.ts';
import type { KeyRotation } from './keys.ts';
import { lockoutsOf } from './lockouts.ts';
import type { Records, RecordViews } from './records.ts';

/** What every process of a server has, whatever its role. */
export interface SharedServices {
  readonly source: RememberingSource;
  /** The same, where it is GitLab's database. */
  readonly gitlab: GitlabSource | null;
  readonly keyring: Keyring;
  readonly clock: ClockCheck;
  /** Null: no ID token is taken. */
  readonly federation: Federation | null;
  readonly passwords: PasswordHasher;
  readonly cells: CurrentTopology;
  /** What this process counts. */
  readonly registry: MetricsRegistry;
  readonly requests: RequestMetrics;
  /** Logs and counts what ends before the apps see it. */
  readonly observeUnread: ObserveUnread;
  /** Calls the listener after each notice of the database, such as that a lockout was cleared. */
  readonly onNotice: (listener: () => void) => void;
}

interface PublicServices extends SharedServices {
  readonly records: Records;
  readonly forwarder: Forwarder;
  readonly turns: Turns;
  /** Null: there is no Rails beside this server. */
  readonly rails: RailsClient | null;
  readonly countPassedOn: (reason: string) => void;
  readonly countFederated: PublicDeps['countFederated'];
}

interface AdministrationServices extends SharedServices {
  readonly records: RecordViews;
  readonly rotation: KeyRotation;
  readonly directory: DirectoryResource;
  readonly metrics: MetricsReport;
}

type CommonDeps = Pick<PublicDeps, keyof PublicDeps & keyof AdminDeps>;

/** The dependencies of the public app. */
export function publicEndpoints(inputs: ServerInputs, services: PublicServices): PublicDeps {
  const { refusals, lastUse, audit } = services.records;
  return {
    ...commonOf(inputs, services),
    token: tokenEndpointOf(inputs, services),
    refusals,
    lastUse,
    audit,
    countPassedOn: services.countPassedOn,
    countFederated: services.countFederated,
  };
}

/** The dependencies of the admin apps. */
export function adminEndpoints(inputs: ServerInputs, services: AdministrationServices): AdminDeps {
  const { database, now } = inputs;
  const { records, rotation } = services;
  return {
    ...commonOf(inputs, services),
    metrics: services.metrics,
    contract: loadContract(),
    directory: services.directory,
    jobTokens:
      inputs.gitlab === undefined
        ? {
            putJobToken: (token) => putJobToken(database, token),
            deleteJobToken: (id) => deleteJobToken(database, id),
          }
        : JOB_TOKENS_IN_GITLAB,
    tokens: tokensOf(inputs, services),
    secrets: {
      ask: async (question) => (await services.source.ask(question, [])).credentials,
      findAdminToken: (digest) => findAdminSecret(database, digest),
      now,
    },
    issuedTokens: {
      search: async (question) => {
        await records.audit.flush();
        return searchIssuedTokens(database, question);
      },
      now,
    },
    history: historyOf(inputs),
    lockouts: lockoutsOf(inputs, services),
    adminTokens: adminTokensOf(inputs),
    keys: rotation.keys,
    authorities: rotation.authorities,
    explain: explainOf(inputs, services),
    questions: questionsOf(inputs, services),
    differences: differencesOf(inputs, services),
    refusalList: {
      search: async (question) => {
        await records.refusals.flush();
        return searchRefusals(database, question);
      },
    },
    federation: federationResource(inputs, services.federation),
    backups: backupsOf(inputs),
    revocations: openRevocationFile(inputs.config.dataDir, inputs),
  };
}

function commonOf(
  { config, log, now, isDraining }: ServerInputs,
  { source, keyring, clock, requests }: SharedServices,
): CommonDeps {
  return {
    keyring,
    propagationSeconds: config.keys.propagationSeconds,
    readiness: { check: () => checkReady(source, keyring, clock), isDraining },
    log,
    now,
    requests,
    readClientAddress: createClientAddressReader(config.trustedProxies),
  };
}

function adminTokensOf({ database, now }: ServerInputs): AdminDeps['adminTokens'] {
  return {
    recognise: (digest) => recogniseAdminToken(database, digest, now()),
    create: (token) => createAdminToken(database, token),
    list: () => listAdminTokens(database),
    revoke: (id, actor) => revokeAdminToken(database, id, { actor, now: now() }),
    now,
  };
}

/** For how long a network counts as known; about 1 MB. */
const KNOWN_NETWORKS = { lifeMs: 5 * 60_000, max: 10_000 };

function tokenEndpointOf(inputs: ServerInputs, services: PublicServices): TokenEndpoint {
  const { config, now, monotonicMs } = inputs;
  const { source, keyring, cells, forwarder, turns, requests, rails } = services;
  const judge = judgeOf(inputs, services);
  return {
    ...judge,
    exchange: exchangeOf(inputs, services.federation),
    cells: () => cells.view(),
    forwarder,
    source,
    keyring,
    rails: rails && besideRails(inputs, services, rails, judge),
    signOrReuse: createReuse(),
    userClaims: createUserClaims({ now, ttlSeconds: longestTokenLifeSeconds(config.services) }),
    issuer: config.issuer,
    corsOrigins: new Set(config.corsOrigins),
    isTrustedSender: trustSenders(config.trustedProxies),
    limits: config.limits,
    knownNetworks: createExpiringMap({
      ...KNOWN_NETWORKS,
      monotonicMs: monotonicMs ?? (() => performance.now()),
    }),
    turns,
    timed: requests.timed,
  };
}

function judgeOf(
  { config }: ServerInputs,
  { source, clock, federation, passwords, records, requests }: PublicServices,
): Judge {
  return {
    authenticator: { passwords, failedAttempts: records.failedAttempts },
    idTokens: federation?.idTokens ?? null,
    source,
    clock,
    services: new Map(config.services.map((service) => [service.name, service])),
    refusesExamples: !isTrial(config),
    timed: requests.timed,
  };
}

function besideRails(
  { config, railsRules }: ServerInputs,
  { gitlab, records }: PublicServices,
  client: RailsClient,
  judge: Judge,
): RailsBeside {
  const first = config.rails?.rules;
  const rules = (): RailsRules => {
    const current = railsRules?.() ?? first;
    if (current === undefined) throw new CellpassError('internal', 'there is no Rails beside this server');
    return current;
  };
  const { issuer } = config;
  const record = records.comparisons;
  return {
    rules,
    client,
    comparer: gitlab === null ? null : createComparer({ judge, issuer, client, rules, record }),
  };
}

function trustSenders(trustedProxies: readonly string[]): TokenEndpoint['isTrustedSender'] {
  const isTrusted = trustIn(trustedProxies);
  return (socketAddress) => isTrusted(toClientAddress(socketAddress ?? ''));
}

function tokensOf(
  { config, database, now, gitlab: databases }: ServerInputs,
  { records, gitlab }: AdministrationServices,
): AdminDeps['tokens'] {
  if (databases !== undefined && gitlab !== null) return tokensInGitlab(databases, gitlab, records.lastUse);
  return {
    mint: (order, who) =>
      mintToken({ database, now, cell: config.cell, tokenDays: config.limits.tokenDays }, order, who),
    list: async (question) => {
      await records.lastUse.flush();
      // A transaction has a longer timeout than a query that a client of the registry waits for.
      return database.transaction((sql) => readTokenPage(sql, question));
    },
    revoke: (key, who) => revokeAndRecord(database, key, { at: now(), who }),
  };
}

function questionsOf(
  { config, database: own, now, gitlab: databases }: ServerInputs,
  { source, gitlab }: AdministrationServices,
): AdminDeps['questions'] {
  const identities = config.federation?.identities ?? [];
  const questions =
    databases === undefined || gitlab === null
      ? createOwnQuestions(own)
      : createGitlabQuestions({ gitlab, main: databases.main, source, identities, own });
  return { questions: () => questions, now };
}

function explainOf(
  { database, now, gitlab }: ServerInputs,
  { source, records, cells, federation }: AdministrationServices,
): AdminDeps['explain'] {
  return {
    source,
    idTokens: federation?.idTokens ?? null,
    audienceOf: (issuer) =>
      federation?.settings.issuers.find(({ name }) => name === issuer)?.audience ?? null,
    claimsOfIssuer: async (issuer) =>
      gitlab === undefined ? claimsOfIssuer(database, issuer) : configuredClaims(federation, issuer),
    cells: () => cells.view(),
    // GitLab keeps digests of its tokens, which say nothing about their form.
    ...(gitlab === undefined && {
      findRouting: async (key) => (await findToken(database, key))?.routing ?? null,
    }),
    findRefusal: async (id) => {
      await records.refusals.flush();
      return findRefusal(database, id);
    },
    findDifference: async (id) => {
      await records.comparisons.flush();
      return findDifference(database, id);
    },
    now,
  };
}

function differencesOf(
  { config, database }: ServerInputs,
  { records }: AdministrationServices,
): AdminDeps['differences'] {
  return {
    report: async (since) => {
      if (config.rails === null || config.gitlab === null) {
        throw new CellpassError(
          'conflict',
          'nothing is compared: set CELLPASS_GITLAB_DATABASE_URL and CELLPASS_GITLAB_RAILS_URL',
        );
      }
      await records.comparisons.flush();
      return reportComparisons(database, since);
    },
  };
}

async function checkReady(source: DirectorySource, keyring: Keyring, clock: ClockCheck): Promise<void> {
  clock.assertRight();
  keyring.active();
  await source.ping();
}
