import { randomBytes } from 'node:crypto';
import type { Path } from '../../config/yaml.ts';
import type { Problem } from '../../errors.ts';
import type { DirectoryChanges, DirectoryRows, PlannedTables } from '../../store/directory/table-values.ts';
import type { IdSource } from '../../store/directory/tables.ts';
import type { DirectoryDocument } from '../document/document.ts';
import { checkEntries } from '../document/entry-rules.ts';
import { checkIdentities, type IdentityRules } from '../document/identity-rules.ts';
import type { ReadDocument } from '../document/read.ts';
import { perSection } from '../document/sections.ts';
import type { FoundProblem } from '../document/suggestions.ts';
import { checkTokens, type TokenLimits } from '../document/token-warnings.ts';
import { placeBotsInOrganizations, planAccessTokens } from './access-tokens.ts';
import {
  checkRemovedOrganizations,
  planOrganizations,
  planOwners,
  planSettings,
  planUsers,
} from './accounts.ts';
import { collectReferences, type PlanContext, type SectionResult } from './context.ts';
import { type Counts, countSections, type TouchedEntries, touchedEntries } from './counts.ts';
import { planFederatedIdentities } from './federated-identities.ts';
import { planGrants } from './grants.ts';
import { type Moved, movedPlaces } from './moved.ts';
import { planDeployTokens, planJobTokens } from './other-tokens.ts';
import { checkSecretsUnique, storeRevocations } from './secrets.ts';
import { createTables, diffTables, removeOrphans } from './tables.ts';
import { planTree } from './tree/plan-tree.ts';
import { writeTree } from './tree/write-tree.ts';

export interface PlanInput {
  readonly read: ReadDocument & { readonly document: DirectoryDocument };
  readonly stored: DirectoryRows;
  readonly prune: boolean;
  /**
   * A check without a server: assume that sections which the document leaves out hold every name.
   */
  readonly assume: boolean;
  /** Organizations keep their order, whatever the document's is. Default: false. */
  readonly keepsOrder?: boolean;
  readonly now: Date;
  readonly identityRules: IdentityRules;
  /** Null or missing: no warnings of tokens. */
  readonly tokenLimits?: TokenLimits | null;
  /** Argon2id hashes of the passwords in the document, by index in `users`. */
  readonly passwordHashes: ReadonlyMap<number, string>;
  /**
   * Ids for new entries, as many as an earlier plan wanted. Without them the plan uses negative ids
   * and must not be written.
   */
  readonly freshIds?: ReadonlyMap<IdSource, readonly number[]>;
}

export interface Plan {
  readonly changes: DirectoryChanges;
  /** The rows before and after, which the changes lead from and to. */
  readonly tables: PlannedTables;
  /** Ids of the entries that the changes belong to. */
  readonly touched: TouchedEntries;
  readonly counts: Readonly<Record<string, Counts>>;
  readonly problems: readonly FoundProblem[];
  /** What is probably not meant, but can be applied. */
  readonly warnings: readonly Problem[];
  /** How many new ids the plan needs, and above which id. */
  readonly wantedIds: ReadonlyMap<IdSource, { readonly count: number; readonly above: number }>;
  /** Places that move: if a plan knows only a part of the directory, the part must have these whole. */
  readonly moved: Moved;
}

/**
 * Plans the changes that make the directory equal to the document, and reports every entry that
 * conflicts with stored data. Pure, except for the random part of a new bot's name.
 */
export function planDirectory(input: PlanInput): Plan {
  const problems: FoundProblem[] = [];
  const warnings: Problem[] = [];
  const taken = new Map<IdSource, number>();
  const context = startPlan(input, problems, taken);
  const warn = (path: Path, message: string): void => void warnings.push(input.read.locate(path, message));
  checkIdentities(input.read.document, input.identityRules, { report: context.report, warn });
  if (input.tokenLimits != null) checkTokens(input.read.document, input.tokenLimits, warn);
  planSettings(context);
  const organizations = planOrganizations(context);
  planUsers(context, organizations);
  const before = problems.length;
  const tree = planTree(context);
  writeTree(context, tree, organizations);
  const isTreeWhole = problems.length === before;
  removeOrphans(context.tables);
  const references = collectReferences(context, tree);
  planOwners(context, references);
  planGrants(context, references);
  planAccessTokens(context, references);
  planDeployTokens(context, references);
  planFederatedIdentities(context, references);
  planJobTokens(context, references);
  // Where two entries want one path, one of them is lost with its tokens.
  if (isTreeWhole) checkSecretsUnique(context);
  storeRevocations(context);
  placeBotsInOrganizations(context);
  checkRemovedOrganizations(context);
  removeOrphans(context.tables);
  const changes = diffTables(context.tables);
  const touched = touchedEntries(context.tables, changes);
  return {
    changes,
    tables: context.tables,
    touched,
    counts: countSections(context, changes, touched),
    problems,
    warnings,
    wantedIds: wantedIds(taken, context.highestGivenId),
    moved: movedPlaces(context.tables),
  };
}

function startPlan(input: PlanInput, problems: FoundProblem[], taken: Map<IdSource, number>): PlanContext {
  const { read, stored, freshIds } = input;
  const report: PlanContext['report'] = (path, message, misspelt) =>
    problems.push({ ...read.locate(path, message), ...(misspelt && { misspelt }) });
  checkEntries(read.document, report);
  return {
    ...input,
    document: read.document,
    unreadable: read.unreadable,
    tables: createTables(stored),
    takeId: (source) => takeId(source, taken, freshIds),
    randomHex: () => randomBytes(16).toString('hex'),
    report,
    results: perSection(emptyResult),
    highestGivenId: new Map(),
  };
}

function emptyResult(): SectionResult {
  return { indexById: new Map(), added: new Set(), removed: new Set() };
}

function takeId(source: IdSource, taken: Map<IdSource, number>, freshIds: PlanInput['freshIds']): number {
  const count = taken.get(source) ?? 0;
  taken.set(source, count + 1);
  if (freshIds === undefined) return -1 - [...taken.values()].reduce((sum, value) => sum + value, 0);
  const id = freshIds.get(source)?.[count];
  if (id === undefined) throw new Error(`the second plan needs more ids of ${source} than the first`);
  return id;
}

function wantedIds(
  taken: ReadonlyMap<IdSource, number>,
  highest: ReadonlyMap<IdSource, number>,
): Plan['wantedIds'] {
  const sources = new Set([...taken.keys(), ...highest.keys()]);
  return new Map(
    [...sources].map((source) => [
      source,
      { count: taken.get(source) ?? 0, above: highest.get(source) ?? 0 },
    ]),
  );
}
