import {
  type Authenticator,
  authenticate,
  type JudgeElsewhere,
  type NotedIdToken,
  verifyIdToken,
} from '../../authn/authenticate.ts';
import { unauthorized } from '../../authn/basic.ts';
import { questionOf } from '../../authn/credential-kinds.ts';
import { isExampleSecret } from '../../authn/example-secrets.ts';
import { isIdToken } from '../../authn/federation/id-token.ts';
import type { IdTokenVerifier } from '../../authn/federation/verify.ts';
import { type KnownCredential, knownCredential } from '../../authn/known-credential.ts';
import { Secret } from '../../authn/secret.ts';
import { type DirectorySource, isAbout, type SourceAnswer, type SourceQuestion } from '../../authn/source.ts';
import type { ServiceSettings } from '../../config/services.ts';
import { CellpassError } from '../../errors.ts';
import type { ClockCheck } from '../../keys/clock-check.ts';
import type { Facts } from '../../policy/project.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import type { Subject } from '../../policy/subject.ts';
import { toNetwork } from '../client-address.ts';
import type { RequestMetrics } from '../metrics/requests.ts';
import type { RequestContext } from '../request-state.ts';
import { type CellChoice, dropCredentials } from './cell.ts';
import { type DecidedAnswer, decide, pathsOf } from './decide.ts';
import type { OutcomeDraft } from './outcome.ts';
import type { TokenRequest } from './request.ts';

export interface Judge {
  readonly authenticator: Authenticator;
  /** Null: no ID token is taken. */
  readonly idTokens: IdTokenVerifier | null;
  readonly source: Pick<DirectorySource, 'ask' | 'facts'>;
  readonly clock: Pick<ClockCheck, 'assertRight'>;
  readonly services: ReadonlyMap<string, ServiceSettings>;
  /** True: the secrets of `examples/` are wrong credentials, whatever the directory says. */
  readonly refusesExamples: boolean;
  readonly timed: RequestMetrics['timed'];
}

/** The parts of a request that are known before the directory is asked. */
export interface Admitted {
  readonly request: TokenRequest;
  readonly asked: AskedScopes;
  readonly choice: CellChoice;
  /**
   * Allows the request the time of a password. The signal is aborted when no client waits for the
   * answer any more.
   */
  readonly waitForPassword: () => AbortSignal;
  /** Missing: what the directory can't judge is refused. */
  readonly judgeElsewhere?: JudgeElsewhere;
}

/** Who asks, what is decided, and by what. */
export interface Judgement extends DecidedAnswer {
  readonly subject: Subject;
  readonly facts: Facts;
  readonly service: ServiceSettings;
  /** What the source was asked, and its answer. */
  readonly question: SourceQuestion | null;
  readonly paths: readonly string[];
  readonly answer: SourceAnswer;
}

/**
 * Credentials → subject → decision, on the facts of this moment. Writes nothing but failed attempts.
 * @param outcome gets each part as soon as it is known.
 * @returns `elsewhere`: who can judge the credentials has answered, and did not refuse them.
 * @throws {CellpassError} as `authenticate` and the source; `wrong_cell`, `service_unknown`.
 */
export async function judge(
  { authenticator, idTokens, source, clock, services, refusesExamples, timed }: Judge,
  { now, clientAddress }: RequestContext,
  outcome: OutcomeDraft,
  { request, asked, choice, waitForPassword, judgeElsewhere }: Admitted,
): Promise<Judgement | 'elsewhere'> {
  // Before the credentials, because a wrong clock takes valid ones for expired.
  clock.assertRight();
  const credentials = choice.takesCredentials ? request.credentials : dropCredentials(choice.cell, asked);
  if (refusesExamples && credentials !== null && isExampleSecret(credentials.password)) {
    throw unauthorized('example_secret');
  }
  const paths = pathsOf(asked);
  const { question, answer, subject } = await timed('authenticate', async () => {
    const when = { now, network: toNetwork(clientAddress) };
    const note = (seen: NotedIdToken): void => {
      outcome.idToken = seen;
    };
    const idToken =
      idTokens !== null && credentials !== null && isIdToken(credentials)
        ? await verifyIdToken(idTokens, authenticator, credentials, when, note)
        : null;
    const question = questionOf(credentials, idToken);
    const answer = await source.ask(question, paths);
    if (question !== null) noteCredential(outcome, question, knownCredential(answer.credentials, idToken));
    const subject = await authenticate(authenticator, credentials, answer.credentials, {
      ...when,
      clientGone: waitForPassword,
      idToken,
      ...(judgeElsewhere && { judgeElsewhere }),
    });
    return { question, answer, subject };
  });
  if (subject === 'elsewhere') return subject;
  outcome.subject = subject;
  const service = findService(services, request.service);
  const judgement = await timed('authorize', async () => {
    const facts = isAbout(answer, subject) ? answer.facts : await source.facts(subject, paths);
    outcome.facts = facts;
    return { ...decide({ subject, asked, facts, now, clientAddress }, service), facts };
  });
  outcome.decision = judgement.decision;
  return { ...judgement, subject, service, question, paths, answer };
}

/** For the records: a secret in the form of a token says nothing of the login name beside it. */
function noteCredential(outcome: OutcomeDraft, question: SourceQuestion, known: KnownCredential): void {
  outcome.knownCredential = known;
  const wasAsked = question.kinds.includes('password') || question.kinds.includes('id_token');
  if (known.account === null && !wasAsked) outcome.loginName = new Secret(question.username);
}

function findService(services: ReadonlyMap<string, ServiceSettings>, name: string | null): ServiceSettings {
  const service = services.get(name ?? '');
  if (service === undefined) {
    throw new CellpassError(
      'service_unknown',
      'the service is missing or not one that this server issues tokens for',
    );
  }
  return service;
}
