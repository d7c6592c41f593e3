import { isRecord } from '../../config/issues.ts';
import { CellpassError } from '../../errors.ts';
import { didYouMean } from '../../nearest-name.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { keyOf } from '../document/fields.ts';
import { storedNames } from '../document/suggestions.ts';
import type { Plain } from '../export/names.ts';
import { mergeEntry } from '../merge/merge.ts';
import { readStoredEntries } from '../merge/stored-entries.ts';

/** Where a user is or becomes a member: one of both is set. */
interface Place {
  readonly user: string;
  readonly group?: string;
  readonly project?: string;
}

/** One change of one entry. */
export type SingleChange =
  | { readonly action: 'user_block' | 'user_unblock'; readonly user: string }
  | { readonly action: 'user_set_password'; readonly user: string; readonly password: string }
  | {
      readonly action: 'user_add';
      readonly user: string;
      readonly email?: string;
      readonly kind?: string;
      readonly organization?: string;
      readonly external?: boolean;
      readonly password?: string;
    }
  | (Place & {
      readonly action: 'member_add' | 'member_role';
      readonly role: string;
      readonly expires_at?: string;
    })
  | (Place & { readonly action: 'member_remove' })
  | { readonly action: 'group_rename'; readonly group: string; readonly path: string }
  | { readonly action: 'project_move'; readonly project: string; readonly path: string }
  | { readonly action: 'project_visibility'; readonly project: string; readonly visibility: string };

/** The part of a change that is known before the directory is asked: its password, as a document. */
export function draftOf(change: SingleChange): Plain {
  const password = 'password' in change ? change.password : undefined;
  return {
    version: 1,
    ...(password !== undefined && 'user' in change && { users: [{ username: change.user, password }] }),
  };
}

/**
 * A change as a document, whose one entry is complete.
 * @throws {CellpassError} `not_found` when the entry does not exist; `conflict` when it does not fit
 *   the change, such as a user who is to be added and exists.
 */
export async function documentOf(sql: Sql, change: SingleChange): Promise<Plain> {
  const { section, name } = targetOf(change);
  const field = section === 'users' ? 'username' : 'path';
  const entry = { [field]: name };
  const stored = (await readStoredEntries(sql, { [section]: [entry] })).find(section, entry);
  const moves = change.action === 'group_rename' || change.action === 'project_move';
  if (moves && stored !== undefined) await assertFree(sql, change.path, stored['id']);
  const fields =
    stored === undefined ? await newEntry(sql, change, { section, name }) : changedFields(change, stored);
  // The name as it is stored, because names count in any case of letters.
  const found = stored === undefined ? entry : { id: stored['id'], [field]: stored[field] };
  return { version: 1, [section]: [mergeEntry(section, stored, { ...found, ...fields })] };
}

interface Target {
  readonly section: 'users' | 'groups' | 'projects';
  readonly name: string;
}

function targetOf(change: SingleChange): Target {
  switch (change.action) {
    case 'user_block':
    case 'user_unblock':
    case 'user_set_password':
    case 'user_add':
      return { section: 'users', name: change.user };
    case 'group_rename':
      return { section: 'groups', name: change.group };
    case 'project_move':
    case 'project_visibility':
      return { section: 'projects', name: change.project };
    case 'member_add':
    case 'member_role':
    case 'member_remove': {
      const { group, project } = change;
      if (group !== undefined && project === undefined) return { section: 'groups', name: group };
      if (project !== undefined && group === undefined) return { section: 'projects', name: project };
      throw new CellpassError('invalid', 'give a group or a project, and not both');
    }
  }
}

/** @throws {CellpassError} `conflict` when another group or project has the path. */
async function assertFree(sql: Sql, path: string, ownId: unknown): Promise<void> {
  const entry = { path };
  const stored = await readStoredEntries(sql, { groups: [entry], projects: [entry] });
  for (const section of ['groups', 'projects'] as const) {
    const other = stored.find(section, entry);
    if (other !== undefined && other['id'] !== ownId) {
      const message = `there is a ${section.slice(0, -1)} "${String(other['path'])}" already: give another path`;
      throw new CellpassError('conflict', message);
    }
  }
}

async function newEntry(sql: Sql, change: SingleChange, { section, name }: Target): Promise<Plain> {
  if (change.action !== 'user_add') {
    const problem = { path: '', message: '', misspelt: { name, among: [section] } };
    const names = await storedNames(sql, [problem]);
    const suggestion = didYouMean(name, names(section));
    throw new CellpassError('not_found', `there is no ${section.slice(0, -1)} "${name}"${suggestion}`);
  }
  const { action, user, ...fields } = change;
  return { username: user, ...fields };
}

function changedFields(change: SingleChange, stored: Plain): Plain {
  switch (change.action) {
    case 'user_add':
      throw new CellpassError('conflict', `there is a user "${change.user}" already`);
    case 'user_block':
      return { state: 'blocked' };
    case 'user_unblock': {
      const { state = 'active' } = stored;
      if (state === 'active' || state === 'blocked') return { state: 'active' };
      throw new CellpassError('conflict', `the user "${change.user}" is ${String(state)}, not blocked`);
    }
    case 'user_set_password':
      return { password: change.password };
    case 'group_rename':
    case 'project_move':
      return { path: change.path };
    case 'project_visibility':
      return { visibility: change.visibility };
    case 'member_add':
    case 'member_role':
    case 'member_remove':
      return { members: changedMembers(change, stored) };
  }
}

type MemberChange = Extract<
  SingleChange,
  { readonly action: 'member_add' | 'member_role' | 'member_remove' }
>;

function changedMembers(change: MemberChange, { members }: Plain): readonly unknown[] {
  const list: readonly unknown[] = Array.isArray(members) ? members : [];
  const isTheUser = (member: unknown): boolean =>
    isRecord(member) && keyOf(String(member['user'])) === keyOf(change.user);
  const member = list.find(isTheUser);
  const place = change.group ?? change.project;
  if (change.action === 'member_add' && isRecord(member)) {
    throw new CellpassError(
      'conflict',
      `"${change.user}" is a member of ${place} already, as ${String(member['role'])}: "member role" changes that`,
    );
  }
  if (change.action !== 'member_add' && member === undefined)
    throw new CellpassError('not_found', `"${change.user}" is no direct member of ${place}`);
  if (change.action === 'member_remove') return list.filter((one) => !isTheUser(one));
  const { user, role, expires_at } = change;
  const kept = isRecord(member) ? member : { user };
  const changed = { ...kept, role, ...(expires_at !== undefined && { expires_at }) };
  return member === undefined ? [...list, changed] : list.map((one) => (isTheUser(one) ? changed : one));
}
