import { isIdTokenUsername } from '../../authn/federation/id-token.ts';
import type { Path } from '../../config/yaml.ts';
import type { DirectoryDocument, FederatedIdentityEntry, ProjectEntry } from './document.ts';
import { keyOf } from './fields.ts';
import { printPath } from './read.ts';
import { secretDigest } from './secret.ts';
import { SECTIONS, TOKEN_SECTIONS } from './sections.ts';

type Report = (path: Path, message: string) => void;

/**
 * Reports contradictions between fields and between entries of one document. Needs no stored data.
 */
export function checkEntries(document: DirectoryDocument, report: Report): void {
  document.users?.forEach(({ at, password, password_hash }) => {
    if (password !== undefined && password_hash !== undefined) {
      report(['users', at, 'password_hash'], 'must not be given together with password');
    }
  });
  for (const project of document.projects ?? []) checkRules(project, report);
  document.deploy_tokens?.forEach(({ at, projects, group }) => {
    const given = [projects, group].filter((value) => value !== undefined && value !== null);
    if (given.length !== 1) report(['deploy_tokens', at], 'must have either projects or group');
  });
  for (const entry of document.federated_identities ?? []) checkOwner(entry, report);
  checkSecrets(document, report);
  checkDuplicates(document, report);
}

/** An identity stands for one user: a service account, or a bot, which has a role. */
function checkOwner({ at, account, project, group, role }: FederatedIdentityEntry, report: Report): void {
  const path: Path = ['federated_identities', at];
  const given = [account, project, group].filter((value) => value !== undefined && value !== null);
  if (given.length !== 1) {
    report(path, 'must have one of: account, project with role, group with role');
    return;
  }
  const isBot = account === undefined || account === null;
  if (isBot && role == null) report(path, 'must have a role, for the bot of its project or group');
  if (!isBot && role != null) {
    report(
      [...path, 'role'],
      'must not be given together with account: a service account has roles as a member',
    );
  }
}

function checkRules(project: ProjectEntry, report: Report): void {
  const prefix = keyOf(project.path);
  for (const rule of project.protected_repositories) {
    const path: Path = ['projects', project.at, 'protected_repositories', rule.at];
    if (!keyOf(rule.pattern).startsWith(prefix)) {
      report([...path, 'pattern'], `must start with the project's full path, ${project.path}`);
    }
    if (!hasMinimum(rule)) report(path, 'must have a minimum role for push or for delete');
  }
  for (const rule of project.protected_tags) {
    const path: Path = ['projects', project.at, 'protected_tags', rule.at];
    if (rule.immutable && hasMinimum(rule))
      report(path, 'must not have minimum roles, because an immutable tag is immutable for every role');
    if (!rule.immutable && !hasMinimum(rule)) {
      report(path, 'must have a minimum role for push or for delete, or immutable: true');
    }
  }
}

function hasMinimum(rule: {
  readonly minimum_role_for_push: string | null;
  readonly minimum_role_for_delete: string | null;
}): boolean {
  return rule.minimum_role_for_push !== null || rule.minimum_role_for_delete !== null;
}

function checkSecrets(document: DirectoryDocument, report: Report): void {
  const unique = uniqueness(report, 'has the same secret as');
  for (const section of TOKEN_SECTIONS) {
    for (const entry of document[section] ?? []) {
      const field = entry.token === undefined ? 'token_sha256' : 'token';
      if (entry.token !== undefined && entry.token_sha256 !== undefined) {
        report([section, entry.at, 'token_sha256'], 'must not be given together with token');
      }
      unique(secretDigest(entry), [section, entry.at, field]);
    }
  }
}

/** Reports every path whose key an earlier path had. Paths without a key are not compared. */
function uniqueness(
  report: Report,
  says = 'is the same as',
): (key: string | number | null | undefined, path: Path) => void {
  const firsts = new Map<string | number, Path>();
  return (key, path) => {
    if (key === undefined || key === null) return;
    const first = firsts.get(key);
    if (first === undefined) firsts.set(key, path);
    else report(path, `${says} ${printPath(first)}`);
  };
}

function checkDuplicates(document: DirectoryDocument, report: Report): void {
  for (const section of SECTIONS) {
    const unique = uniqueness(report);
    for (const { id, at } of document[section] ?? []) unique(id, [section, at, 'id']);
  }
  for (const section of ['organizations', 'groups', 'projects'] as const) {
    const unique = uniqueness(report);
    for (const { path, at } of document[section] ?? []) unique(keyOf(path), [section, at, 'path']);
  }
  checkDuplicateUsers(document, report);
  checkDuplicateTokens(document, report);
  checkDuplicateIdentities(document, report);
  checkDuplicateGrants(document, report);
}

function checkDuplicateUsers(document: DirectoryDocument, report: Report): void {
  const names = uniqueness(report);
  const emails = uniqueness(report);
  for (const { username, email, at } of document.users ?? []) {
    if (isIdTokenUsername(username))
      report(['users', at, 'username'], 'is the user name with which clients show ID tokens: choose another');
    names(keyOf(username), ['users', at, 'username']);
    emails(email === null ? null : keyOf(email), ['users', at, 'email']);
  }
}

/** Tokens with ids may share a name. */
function checkDuplicateTokens(document: DirectoryDocument, report: Report): void {
  const names = uniqueness(report);
  for (const entry of document.access_tokens ?? []) {
    const owner =
      entry.kind === 'personal' ? entry.user : entry.kind === 'project' ? entry.project : entry.group;
    const key = JSON.stringify([entry.kind, keyOf(owner), entry.name]);
    names(entry.id === undefined ? key : null, ['access_tokens', entry.at, 'name']);
  }
  const usernames = uniqueness(report);
  for (const { id, username, at } of document.deploy_tokens ?? []) {
    usernames(id === undefined ? username : null, ['deploy_tokens', at, 'username']);
  }
}

function checkDuplicateIdentities(document: DirectoryDocument, report: Report): void {
  const names = uniqueness(report);
  for (const { name, at } of document.federated_identities ?? [])
    names(name, ['federated_identities', at, 'name']);
}

function checkDuplicateGrants(document: DirectoryDocument, report: Report): void {
  const names = (list: readonly string[], path: Path): void => {
    const unique = uniqueness(report);
    for (const [at, name] of list.entries()) unique(keyOf(name), [...path, at]);
  };
  for (const { owners, at } of document.organizations ?? []) names(owners, ['organizations', at, 'owners']);
  for (const section of ['groups', 'projects'] as const) {
    for (const entry of document[section] ?? []) {
      const members = uniqueness(report);
      const invited = uniqueness(report);
      for (const { user, at } of entry.members)
        members(keyOf(user), [section, entry.at, 'members', at, 'user']);
      for (const { group, at } of entry.invited_groups) {
        invited(keyOf(group), [section, entry.at, 'invited_groups', at, 'group']);
      }
    }
  }
  for (const { job_token_allowlist: list, at } of document.projects ?? []) {
    if (list !== 'anyone') names(list, ['projects', at, 'job_token_allowlist']);
  }
  for (const { projects, at } of document.deploy_tokens ?? [])
    names(projects ?? [], ['deploy_tokens', at, 'projects']);
}
