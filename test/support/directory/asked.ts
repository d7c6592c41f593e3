import { type Authenticator, authenticate } from '../../../src/authn/authenticate.ts';
import { type Credentials, unauthorized } from '../../../src/authn/basic.ts';
import { questionOf } from '../../../src/authn/credential-kinds.ts';
import type { DirectorySource, SourceQuestion } from '../../../src/authn/source.ts';
import { projectPaths } from '../../../src/policy/scope.ts';
import type { Subject } from '../../../src/policy/subject.ts';
import { projectPath } from './large-directory.ts';

/** The questions that one request asks of the store. */
export interface Asked {
  readonly question: SourceQuestion;
  readonly subject: Subject;
  readonly paths: readonly string[];
}

/** Takes every password for right, and counts no failures. */
export const TAKING_ANYTHING: Authenticator = {
  passwords: {
    inTurn: (_holder, work) => work(() => Promise.resolve(true)),
    refuseIfFull: () => undefined,
    charge: () => undefined,
  },
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
  source: Pick<DirectorySource, 'ask'>,
  { credentials, scopes }: { readonly credentials: Credentials; readonly scopes: number },
): Promise<Asked> {
  const question = questionOf(credentials);
  if (question === null) throw new Error('no credentials ask nothing');
  const answer = await source.ask(question, []);
  const subject = await authenticate(TAKING_ANYTHING, credentials, answer.credentials, {
    now: new Date(),
    network: '127.0.0.1',
    clientGone: () => new AbortController().signal,
  });
  const names = Array.from({ length: scopes }, (_, index) => `${projectPath(index + 1)}/image/layer`);
  return { question, subject, paths: names.flatMap(projectPaths) };
}
