import type { Credentials } from '../../src/authn/basic.ts';
import { type DirectorySource, isAbout } from '../../src/authn/source.ts';
import type { Facts } from '../../src/policy/project.ts';
import type { Asked } from '../../test/support/directory/asked.ts';
import { CREDENTIALS, MOST_PROJECTS } from '../../test/support/directory/large-directory.ts';

/** One kind of token request; the bench measures each many times. */
export interface RequestCase {
  readonly name: string;
  readonly credentials: Credentials;
  readonly scopes: number;
  readonly requests: number;
}

/** The target holds for the first case. */
export const CASES: readonly RequestCase[] = [
  { name: 'member', credentials: CREDENTIALS.member, scopes: 1, requests: 4000 },
  { name: 'outsider', credentials: CREDENTIALS.outsider, scopes: 1, requests: 2000 },
  { name: 'password', credentials: CREDENTIALS.password, scopes: 1, requests: 2000 },
  { name: 'deploy token', credentials: CREDENTIALS.deployToken, scopes: 1, requests: 2000 },
  { name: 'job', credentials: CREDENTIALS.job, scopes: 1, requests: 2000 },
  { name: 'member, 10 scopes', credentials: CREDENTIALS.member, scopes: 10, requests: 1000 },
  { name: 'member, 64 scopes', credentials: CREDENTIALS.member, scopes: MOST_PROJECTS, requests: 500 },
  { name: 'outsider, 64 scopes', credentials: CREDENTIALS.outsider, scopes: MOST_PROJECTS, requests: 500 },
];

export interface Answer {
  readonly facts: Facts;
  readonly ms: number;
}

/** The one round trip of a request. */
export async function ask(source: DirectorySource, { question, subject, paths }: Asked): Promise<Answer> {
  const start = performance.now();
  const answer = await source.ask(question, paths);
  const facts = isAbout(answer, subject) ? answer.facts : await source.facts(subject, paths);
  return { facts, ms: performance.now() - start };
}
