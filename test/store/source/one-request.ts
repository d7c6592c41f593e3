import { authenticate } from '../../../src/authn/authenticate.ts';
import type { Credentials } from '../../../src/authn/basic.ts';
import { questionOf } from '../../../src/authn/credential-kinds.ts';
import { type DirectorySource, isAbout, type SourceAnswer } from '../../../src/authn/source.ts';
import type { Facts } from '../../../src/policy/project.ts';
import { TAKING_ANYTHING } from '../../support/directory/asked.ts';

interface RequestOptions {
  readonly credentials: Credentials | null;
  readonly paths: readonly string[];
  /** Whether the endpoint grants something by the answer; default true. */
  readonly isGranted?: boolean;
}

interface Learned {
  readonly credentials: SourceAnswer['credentials'];
  /** Null: the credentials are refused. */
  readonly facts: Facts | null;
}

/** Asks a source as the token endpoint does for one request. */
export async function oneRequest(
  source: DirectorySource,
  { credentials, paths, isGranted = true }: RequestOptions,
): Promise<Learned> {
  const question = questionOf(credentials);
  const answer = await source.ask(question, paths);
  const subject = await authenticate(TAKING_ANYTHING, credentials, answer.credentials, {
    now: new Date(),
    network: '127.0.0.1',
    clientGone: () => new AbortController().signal,
  }).catch(() => null);
  const facts = subject && (isAbout(answer, subject) ? answer.facts : await source.facts(subject, paths));
  if (isGranted) source.keep?.(question, paths, answer);
  return { credentials: answer.credentials, facts };
}
