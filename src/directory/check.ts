import type { Problem } from '../errors.ts';
import { type ReadDocument, readDocument } from './document/read.ts';
import { planDirectory } from './plan/plan.ts';

/** Every problem that a document shows by itself, in its order. What a section would name that it leaves out is taken to be on the server. */
export function checkDirectory(text: string): readonly Problem[] {
  return checkRead(readDocument(text));
}

function checkRead(read: ReadDocument): readonly Problem[] {
  const { document, problems } = read;
  if (document === null) return inOrder(problems);
  const plan = planDirectory({
    read: { ...read, document },
    stored: NOTHING_STORED,
    prune: false,
    assume: true,
    now: new Date(0),
    passwordHashes: new Map(),
  });
  return inOrder([...problems, ...plan.problems]);
}

export function inOrder(problems: readonly Problem[]): readonly Problem[] {
  return problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
}

const NOTHING_STORED = {
  settings: [],
  organizations: [],
  users: [],
  organization_users: [],
  namespaces: [],
  projects: [],
  members: [],
  group_group_links: [],
  project_group_links: [],
  job_token_project_links: [],
  job_token_group_links: [],
  protected_repositories: [],
  protected_tags: [],
  access_tokens: [],
  deploy_tokens: [],
  project_deploy_tokens: [],
  job_tokens: [],
  revoked_secrets: [],
};
