import type { DeployTokenRow, JobTokenRow, ProjectDeployTokenRow } from '../../store/directory/rows.ts';
import type { DeployTokenEntry, JobTokenEntry } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import { secretDigest } from '../document/secret.ts';
import { put, removeRow } from './draft.ts';
import { matchEntries } from './match.ts';
import { findGroup, findProject, findUser, newId, type Planning, type References } from './planning.ts';
import { digestFor, revokedDigests, secretFor } from './secrets.ts';

export function planDeployTokens(planning: Planning, references: References): void {
  const { document, draft, outcome } = planning;
  const matches = matchEntries(planning, {
    section: 'deploy_tokens',
    nameField: 'username',
    unique: false,
    entries: document.deploy_tokens ?? [],
    rows: draft.deploy_tokens.rows.values(),
    entryName: ({ username }) => username,
    rowName: ({ username, minted }) => (minted ? null : username),
  });
  const revoked = revokedDigests(planning);
  for (const [entry, stored] of matches) planDeployToken(planning, references, entry, stored, revoked);
  for (const row of draft.deploy_tokens.stored.values()) {
    const isNamed = outcome.deploy_tokens.placeOf.has(row.id);
    if (isNamed || row.minted || !planning.prune || document.deploy_tokens === undefined) continue;
    removeRow(draft.deploy_tokens, row);
    outcome.deploy_tokens.removed.add(row.id);
  }
}

function planDeployToken(
  planning: Planning,
  references: References,
  entry: DeployTokenEntry,
  stored: DeployTokenRow | null,
  revoked: ReadonlySet<string>,
): void {
  const { draft, outcome } = planning;
  const id = stored?.id ?? newId(planning, 'deploy_tokens', entry);
  outcome.deploy_tokens.placeOf.set(id, entry.at);
  const secret = secretFor(planning, 'deploy_tokens', entry, stored);
  const group = entry.group ?? null;
  const group_id =
    group === null
      ? null
      : (findGroup(planning, references, group, ['deploy_tokens', entry.at, 'group']) ?? null);
  placeProjects(planning, references, entry, id);
  if (secret === undefined) return;
  put(draft.deploy_tokens, {
    id,
    name: stored?.name ?? null,
    username: entry.username,
    scopes: entry.scopes,
    group_id,
    expires_at: entry.expires_at,
    revoked: entry.revoked || revoked.has(secret.token_digest),
    minted: stored?.minted ?? false,
    ...secret,
  });
}

function placeProjects(
  planning: Planning,
  references: References,
  entry: DeployTokenEntry,
  id: number,
): void {
  const { project_deploy_tokens: table } = planning.draft;
  const wanted = (entry.projects ?? []).flatMap((name, place): ProjectDeployTokenRow[] => {
    const path = ['deploy_tokens', entry.at, 'projects', place];
    const project_id = findProject(planning, references, name, path);
    return project_id === undefined ? [] : [{ deploy_token_id: id, project_id }];
  });
  for (const row of table.stored.values()) if (row.deploy_token_id === id) removeRow(table, row);
  for (const row of wanted) put(table, row);
}

/** Job tokens have no name: they are matched by id where given, else by their secret. */
export function planJobTokens(planning: Planning, references: References): void {
  const { document, draft, outcome } = planning;
  const matches = matchEntries(planning, {
    section: 'job_tokens',
    nameField: 'project',
    unique: false,
    entries: document.job_tokens ?? [],
    rows: draft.job_tokens.rows.values(),
    entryName: (entry) => secretDigest(entry) ?? '',
    rowName: ({ token_digest }) => token_digest,
  });
  const revoked = revokedDigests(planning);
  for (const [entry, stored] of matches) planJobToken(planning, references, entry, stored, revoked);
  for (const row of draft.job_tokens.stored.values()) {
    if (outcome.job_tokens.placeOf.has(row.id) || !planning.prune || document.job_tokens === undefined)
      continue;
    removeRow(draft.job_tokens, row);
    outcome.job_tokens.removed.add(row.id);
  }
}

function planJobToken(
  planning: Planning,
  references: References,
  entry: JobTokenEntry,
  stored: JobTokenRow | null,
  revoked: ReadonlySet<string>,
): void {
  const { draft, outcome } = planning;
  const id = stored?.id ?? newId(planning, 'job_tokens', entry);
  outcome.job_tokens.placeOf.set(id, entry.at);
  const project_id = findProject(planning, references, entry.project, ['job_tokens', entry.at, 'project']);
  const user_id = findJobUser(planning, references, entry);
  const digest = digestFor(planning, 'job_tokens', entry, stored);
  if (project_id === undefined || user_id === undefined || digest === undefined) return;
  const running = entry.running && !revoked.has(digest);
  put(draft.job_tokens, {
    id,
    project_id,
    user_id,
    running,
    expires_at: entry.expires_at,
    token_digest: digest,
  });
}

/** Null: a job without a user. A bot's pipelines run as the bot. */
function findJobUser(
  planning: Planning,
  references: References,
  { at, user }: JobTokenEntry,
): number | null | undefined {
  if (user === null || user === undefined) return null;
  const botId = references.botIds.get(keyOf(user));
  return botId ?? findUser(planning, references, user, ['job_tokens', at, 'user']);
}
