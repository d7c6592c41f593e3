import type { IdSource } from '../../store/directory/rows.ts';
import type { DirectoryDocument } from '../document/document.ts';
import { keyOf } from '../document/fields.ts';
import type { Path, SectionName, Unreadable } from '../document/read.ts';
import type { Draft } from './draft.ts';
import { findNode, type Tree } from './tree.ts';

/** What every step of a plan works on: it reads the document, and changes the draft. */
export interface Planning {
  readonly document: DirectoryDocument;
  readonly unreadable: Unreadable;
  readonly draft: Draft;
  readonly prune: boolean;
  /** There is no server to ask: what a section would name that the document leaves out is taken to be there. */
  readonly assume: boolean;
  readonly now: Date;
  /** Argon2id hashes of the passwords in the document, by place in `users`. */
  readonly passwordHashes: ReadonlyMap<number, string>;
  readonly takeId: (source: IdSource) => number;
  readonly randomHex: () => string;
  readonly report: (path: Path, message: string) => void;
  readonly outcome: Record<SectionName, SectionOutcome>;
  /** The highest id that the document gives to a new entry. */
  readonly highestGivenId: Map<IdSource, number>;
}

/** By id, what became of a section's entries. */
export interface SectionOutcome {
  /** Every entry of the document, with its place in the section. */
  readonly placeOf: Map<number, number>;
  readonly added: Set<number>;
  /** Removed by pruning. */
  readonly removed: Set<number>;
}

/** The id of a new entry: the document's, or the next. */
export function newId(
  planning: Planning,
  section: SectionName,
  entry: { readonly id: number | undefined; readonly at: number },
): number {
  const source = section === 'groups' ? 'namespaces' : section;
  const id = entry.id ?? planning.takeId(source);
  if (entry.id !== undefined) {
    if (planning.draft[source].stored.has(String(id))) planning.report([section, entry.at, 'id'], 'is taken');
    planning.highestGivenId.set(source, Math.max(id, planning.highestGivenId.get(source) ?? 0));
  }
  planning.outcome[section].added.add(id);
  return id;
}

/** Whether something that wasn't found may be there all the same, so that it must not be reported. */
export function mayExist(planning: Planning, section: SectionName, name: string): boolean {
  const { unreadable, assume, document } = planning;
  if (unreadable.sections.has(section) || unreadable.names.has(`${section}:${keyOf(name)}`)) return true;
  return assume && document[section] === undefined;
}

/** References to what the document or the server names. A wrong one is reported, and is undefined. */
export interface References {
  readonly tree: Tree;
  readonly userIds: ReadonlyMap<string, number>;
  readonly botIds: ReadonlyMap<string, number>;
}

export function collectReferences({ draft }: Planning, tree: Tree): References {
  const userIds = new Map<string, number>();
  const botIds = new Map<string, number>();
  for (const { id, kind, username_key } of draft.users.rows.values()) {
    (kind === 'project_bot' || kind === 'group_bot' ? botIds : userIds).set(username_key, id);
  }
  return { tree, userIds, botIds };
}

export function findUser(
  planning: Planning,
  references: References,
  name: string,
  path: Path,
): number | undefined {
  const id = references.userIds.get(keyOf(name));
  if (id === undefined && !mayExist(planning, 'users', name)) {
    const isBot = references.botIds.has(keyOf(name));
    planning.report(
      path,
      isBot ? `"${name}" is the bot of a token, which has its role by itself` : `unknown user "${name}"`,
    );
  }
  return id;
}

export function findGroup(
  planning: Planning,
  references: References,
  name: string,
  path: Path,
): number | undefined {
  const node = findNode(references.tree, name);
  if (node?.kind === 'Group') return node.id;
  if (!mayExist(planning, 'groups', name)) planning.report(path, `unknown group "${name}"`);
  return undefined;
}

export function findProject(
  planning: Planning,
  references: References,
  name: string,
  path: Path,
): number | undefined {
  const node = findNode(references.tree, name);
  if (node?.kind === 'Project') return node.id;
  if (!mayExist(planning, 'projects', name)) planning.report(path, `unknown project "${name}"`);
  return undefined;
}
