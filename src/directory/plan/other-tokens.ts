import type { DeployTokenRow, JobTokenRow, ProjectDeployTokenRow } from '../../store/directory/rows.ts';
import type { DeployTokenEntry, JobTokenEntry } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import { secretDigest } from '../document/secret.ts';
import { findGroup, findProject, findUser, newId, type PlanContext, type References } from './context.ts';
import { resolveEntries } from './resolve-entries.ts';
import { digestFor, revokedDigests, secretFor } from './secrets.ts';
import { groupRows, put, removeRow, replaceRows } from './tables.ts';

export function planDeployTokens(context: PlanContext, references: References): void {
  const { document, tables, results } = context;
  const resolved = resolveEntries(context, {
    section: 'deploy_tokens',
    nameField: 'username',
    unique: false,
    entries: document.deploy_tokens ?? [],
    rows: tables.deploy_tokens.rows.values(),
    entryName: ({ username }) => username,
    rowName: ({ username, minted }) => (minted ? null : username),
  });
  const revoked = revokedDigests(context);
  const linked = groupRows(tables.project_deploy_tokens, ({ deploy_token_id }) => deploy_token_id);
  for (const [entry, stored] of resolved) {
    const id = stored?.id ?? newId(context, 'deploy_tokens', entry);
    const wanted = projectsOf(context, references, entry, id);
    replaceRows(tables.project_deploy_tokens, linked.get(id) ?? [], wanted);
    planDeployToken(context, references, { entry, stored, id, revoked });
  }
  for (const row of tables.deploy_tokens.stored.values()) {
    const isNamed = results.deploy_tokens.indexById.has(row.id);
    if (isNamed || row.minted || !context.prune || document.deploy_tokens === undefined) continue;
    removeRow(tables.deploy_tokens, row);
    results.deploy_tokens.removed.add(row.id);
  }
}

interface PlannedDeployToken {
  readonly entry: DeployTokenEntry;
  readonly stored: DeployTokenRow | null;
  readonly id: number;
  readonly revoked: ReadonlySet<string>;
}

function planDeployToken(
  context: PlanContext,
  references: References,
  { entry, stored, id, revoked }: PlannedDeployToken,
): void {
  const { tables, results } = context;
  results.deploy_tokens.indexById.set(id, entry.at);
  const secret = secretFor(context, 'deploy_tokens', entry, stored);
  const group = entry.group ?? null;
  const group_id =
    group === null
      ? null
      : (findGroup(context, references, group, ['deploy_tokens', entry.at, 'group']) ?? null);
  if (secret === undefined) return;
  put(tables.deploy_tokens, {
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

function projectsOf(
  context: PlanContext,
  references: References,
  entry: DeployTokenEntry,
  deploy_token_id: number,
): readonly ProjectDeployTokenRow[] {
  return (entry.projects ?? []).flatMap((name, place): ProjectDeployTokenRow[] => {
    const path = ['deploy_tokens', entry.at, 'projects', place];
    const project_id = findProject(context, references, name, path);
    return project_id === undefined ? [] : [{ deploy_token_id, project_id }];
  });
}

/** Job tokens have no names: an entry is found by its id, or without an id by its secret. */
export function planJobTokens(context: PlanContext, references: References): void {
  const { document, tables, results } = context;
  const resolved = resolveEntries(context, {
    section: 'job_tokens',
    nameField: 'project',
    unique: false,
    entries: document.job_tokens ?? [],
    rows: tables.job_tokens.rows.values(),
    entryName: (entry) => secretDigest(entry) ?? '',
    rowName: ({ token_digest }) => token_digest,
  });
  const revoked = revokedDigests(context);
  for (const [entry, stored] of resolved) planJobToken(context, references, entry, stored, revoked);
  for (const row of tables.job_tokens.stored.values()) {
    if (results.job_tokens.indexById.has(row.id) || !context.prune || document.job_tokens === undefined)
      continue;
    removeRow(tables.job_tokens, row);
    results.job_tokens.removed.add(row.id);
  }
}

function planJobToken(
  context: PlanContext,
  references: References,
  entry: JobTokenEntry,
  stored: JobTokenRow | null,
  revoked: ReadonlySet<string>,
): void {
  const { tables, results } = context;
  const id = stored?.id ?? newId(context, 'job_tokens', entry);
  results.job_tokens.indexById.set(id, entry.at);
  const project_id = findProject(context, references, entry.project, ['job_tokens', entry.at, 'project']);
  const user_id = findJobUser(context, references, entry);
  const digest = digestFor(context, 'job_tokens', entry, stored);
  if (project_id === undefined || user_id === undefined || digest === undefined) return;
  const running = entry.running && !revoked.has(digest);
  put(tables.job_tokens, {
    id,
    project_id,
    user_id,
    running,
    expires_at: entry.expires_at,
    token_digest: digest,
  });
}

/** Null: a job without a user. The user may be a bot, which can start pipelines. */
function findJobUser(
  context: PlanContext,
  references: References,
  { at, user }: JobTokenEntry,
): number | null | undefined {
  if (user === null || user === undefined) return null;
  const botId = references.botIds.get(keyOf(user));
  return botId ?? findUser(context, references, user, ['job_tokens', at, 'user']);
}
