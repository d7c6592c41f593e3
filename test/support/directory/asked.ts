import type { CredentialQuestion } from '../../../src/authn/account.ts';
import { type Authenticator, authenticate } from '../../../src/authn/authenticate.ts';
import { type Credentials, unauthorized } from '../../../src/authn/basic.ts';
import { projectPaths } from '../../../src/policy/scope.ts';
import type { Subject } from '../../../src/policy/subject.ts';
import type { TokenStore } from '../../../src/store/source/store.ts';
import { projectPath } from './large-directory.ts';

/** The questions that one request asks of the store. */
export interface Asked {
  readonly question: CredentialQuestion;
  readonly subject: Subject;
  readonly paths: readonly string[];
}

const TAKING_ANYTHING: Pick<Authenticator, 'passwords' | 'failedAttempts'> = {
  passwords: { inTurn: (work) => work(() => Promise.resolve(true)), refuseIfFull: () => undefined },
  failedAttempts: {
    refuseKnown: () => undefined,
    admitPassword: async () => ({
      refuseIfLimited: () => undefined,
      failed: async (reason) => unauthorized(reason),
      succeeded: () => undefined,
    }),
    tokenFailed: async (_attempt, reason) => unauthorized(reason),
  },
};

/**
 * Image names have two components below their project, so each scope could belong to three
 * projects.
 */
export async function askedBy(
  store: TokenStore,
  { credentials, scopes }: { readonly credentials: Credentials; readonly scopes: number },
): Promise<Asked> {
  const questions: CredentialQuestion[] = [];
  const lookup = {
    findCredentials: (question: CredentialQuestion) => {
      questions.push(question);
      return store.inquire([]).findCredentials(question);
    },
  };
  const subject = await authenticate({ lookup, ...TAKING_ANYTHING }, credentials, {
    now: new Date(),
    network: '127.0.0.1',
    gone: () => new AbortController().signal,
  });
  const [question] = questions;
  if (question === undefined) throw new Error('authentication asked nothing');
  const names = Array.from({ length: scopes }, (_, index) => `${projectPath(index + 1)}/image/layer`);
  return { question, subject, paths: names.flatMap(projectPaths) };
}
