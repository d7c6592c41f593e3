import type { Path } from '../../config/yaml.ts';
import type { PlannedTables } from '../../store/directory/table-values.ts';
import type { IdSource } from '../../store/directory/tables.ts';
import type { DirectoryDocument } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import type { Unreadable } from '../document/read.ts';
import type { SectionName } from '../document/sections.ts';
import { findNode, type Tree } from './tree/tree.ts';

/** What every step of a plan works on: it reads the document, and changes the tables. */
export interface PlanContext {
  readonly document: DirectoryDocument;
  readonly unreadable: Unreadable;
  readonly tables: PlannedTables;
  readonly prune: boolean;
  /** There is no server to ask: what a section would name that the document leaves out is taken to be there. */
  readonly assume: boolean;
  readonly now: Date;
  /** Argon2id hashes of the passwords in the document, by place in `users`. */
  readonly passwordHashes: ReadonlyMap<number, string>;
  readonly takeId: (source: IdSource) => number;
  readonly randomHex: () => string;
  readonly report: (path: Path, message: string) => void;
  readonly results: Record<SectionName, SectionResult>;
  /** The highest id that the document gives to a new entry. */
  readonly highestGivenId: Map<IdSource, number>;
}

/** By id, what became of a section's entries. */
export interface SectionResult {
  /** Every entry of the document, with its place in the section. */
  readonly indexById: Map<number, number>;
  readonly added: Set<number>;
  /** Removed by pruning. */
  readonly removed: Set<number>;
}

/** The id of a new entry: the document's, or the next. */
export function newId(
  context: PlanContext,
  section: SectionName,
  entry: { readonly id: number | undefined; readonly at: number },
): number {
  const source = section === 'groups' ? 'namespaces' : section;
  const id = entry.id ?? context.takeId(source);
  if (entry.id !== undefined) {
    if (context.tables[source].stored.has(String(id))) context.report([section, entry.at, 'id'], 'is taken');
    context.highestGivenId.set(source, Math.max(id, context.highestGivenId.get(source) ?? 0));
  }
  context.results[section].added.add(id);
  return id;
}

/** Whether something that wasn't found may be there all the same, so that it must not be reported. */
export function mayExist(context: PlanContext, section: SectionName, name: string): boolean {
  const { unreadable, assume, document } = context;
  if (unreadable.sections.has(section) || unreadable.names.has(`${section}:${keyOf(name)}`)) return true;
  return assume && document[section] === undefined;
}

/** References to what the document or the server names. A wrong one is reported, and is undefined. */
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
    const isBot = references.botIds.has(keyOf(name));
    context.report(
      path,
      isBot ? `"${name}" is the bot of a token, which has its role by itself` : `unknown user "${name}"`,
    );
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
  if (!mayExist(context, 'groups', name)) context.report(path, `unknown group "${name}"`);
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
  if (!mayExist(context, 'projects', name)) context.report(path, `unknown project "${name}"`);
  return undefined;
}
