import type { Path } from '../../config/yaml.ts';
import type { PlannedTables } from '../../store/directory/table-values.ts';
import type { IdSource } from '../../store/directory/tables.ts';
import type { DirectoryDocument } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import type { Unreadable } from '../document/read.ts';
import type { SectionName } from '../document/sections.ts';
import type { Misspelt } from '../document/suggestions.ts';
import { findNode, type Tree } from './tree/tree.ts';

/** The input and the state of a plan. Each step reads the document and changes the tables. */
export interface PlanContext {
  readonly document: DirectoryDocument;
  readonly unreadable: Unreadable;
  readonly tables: PlannedTables;
  readonly prune: boolean;
  /**
   * A check without a server: assume that sections which the document leaves out hold every name.
   */
  readonly assume: boolean;
  /** Organizations keep their order, whatever the document's is. */
  readonly keepsOrder?: boolean;
  readonly now: Date;
  /** Argon2id hashes of the passwords in the document, by index in `users`. */
  readonly passwordHashes: ReadonlyMap<number, string>;
  readonly takeId: (source: IdSource) => number;
  readonly randomHex: () => string;
  readonly report: (path: Path, message: string, misspelt?: Misspelt) => void;
  readonly results: Record<SectionName, SectionResult>;
  /** The highest id that the document gives to a new entry. */
  readonly highestGivenId: Map<IdSource, number>;
}

/** The changes of one section, by id. */
export interface SectionResult {
  /** Index in the section of every entry of the document. */
  readonly indexById: Map<number, number>;
  readonly added: Set<number>;
  /** Removed by pruning. */
  readonly removed: Set<number>;
}

/** The id of a new entry: the id in the document, or the next id. */
export function newId(
  context: PlanContext,
  section: SectionName,
  entry: { readonly id: number | undefined; readonly at: number },
): number {
  const source = section === 'groups' ? 'namespaces' : section;
  const id = entry.id ?? context.takeId(source);
  if (entry.id !== undefined) {
    if (context.tables[source].stored.has(String(id)))
      context.report([section, entry.at, 'id'], 'is taken by a stored entry: give another id, or none');
    context.highestGivenId.set(source, Math.max(id, context.highestGivenId.get(source) ?? 0));
  }
  context.results[section].added.add(id);
  return id;
}

/** Whether a name that was not found may exist after all, so that it must not be reported. */
export function mayExist(context: PlanContext, section: SectionName, name: string): boolean {
  const { unreadable, assume, document } = context;
  if (unreadable.sections.has(section) || unreadable.names.has(`${section}:${keyOf(name)}`)) return true;
  return assume && document[section] === undefined;
}

/**
 * Looks up names of the document and of the server. The functions report a wrong name and give
 * undefined.
 */
export interface References {
  readonly tree: Tree;
  readonly userIds: ReadonlyMap<string, number>;
  readonly botIds: ReadonlyMap<string, number>;
}

export function collectReferences({ tables }: PlanContext, tree: Tree): References {
  const userIds = new Map<string, number>();
  const botIds = new Map<string, number>();
  for (const { id, kind, username_key } of tables.users.rows.values()) {
    (kind === 'project_bot' || kind === 'group_bot' ? botIds : userIds).set(username_key, id);
  }
  return { tree, userIds, botIds };
}

export function findUser(
  context: PlanContext,
  references: References,
  name: string,
  path: Path,
): number | undefined {
  const id = references.userIds.get(keyOf(name));
  if (id === undefined && !mayExist(context, 'users', name)) {
    if (references.botIds.has(keyOf(name)))
      context.report(path, `"${name}" is the bot of a token: set the role in the entry of the token`);
    else context.report(path, `there is no user "${name}"`, { name, among: ['users'] });
  }
  return id;
}

export function findGroup(
  context: PlanContext,
  references: References,
  name: string,
  path: Path,
): number | undefined {
  const node = findNode(references.tree, name);
  if (node?.kind === 'Group') return node.id;
  if (!mayExist(context, 'groups', name))
    context.report(path, `there is no group "${name}"`, { name, among: ['groups'] });
  return undefined;
}

export function findProject(
  context: PlanContext,
  references: References,
  name: string,
  path: Path,
): number | undefined {
  const node = findNode(references.tree, name);
  if (node?.kind === 'Project') return node.id;
  if (!mayExist(context, 'projects', name))
    context.report(path, `there is no project "${name}"`, { name, among: ['projects'] });
  return undefined;
}
