import type { CredentialQuestion } from '../../src/authn/account.ts';
import { authenticate } from '../../src/authn/authenticate.ts';
import type { Credentials } from '../../src/authn/basic.ts';
import { projectPaths } from '../../src/policy/scope.ts';
import type { Subject } from '../../src/policy/subject.ts';
import type { TokenStore } from '../../src/store/store.ts';
import { projectPath } from './large-directory.ts';

/** What one request asks of the store. */
export interface Asked {
  readonly question: CredentialQuestion;
  readonly subject: Subject;
  readonly paths: readonly string[];
}

/** Images lie two components below their project, so that each scope could belong to three projects. */
export async function askedBy(
  store: TokenStore,
  { credentials, scopes }: { readonly credentials: Credentials; readonly scopes: number },
): Promise<Asked> {
  const questions: CredentialQuestion[] = [];
  const lookup = {
    findCredentials: (question: CredentialQuestion) => {
      questions.push(question);
      return store.findCredentials(question);
    },
  };
  const passwords = { verify: () => Promise.resolve(true) };
  const subject = await authenticate({ lookup, passwords }, credentials, new Date());
  const [question] = questions;
  if (question === undefined) throw new Error('authentication asked nothing');
  const names = Array.from({ length: scopes }, (_, index) => `${projectPath(index + 1)}/image/layer`);
  return { question, subject, paths: names.flatMap(projectPaths) };
}
