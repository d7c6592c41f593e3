import { randomBytes } from 'node:crypto';
import type { Problem } from '../../errors.ts';
import type { DirectoryChanges, DirectoryRows, IdSource } from '../../store/directory/rows.ts';
import type { DirectoryDocument } from '../document/document.ts';
import { checkEntries } from '../document/entry-rules.ts';
import type { ReadDocument } from '../document/read.ts';
import { type Counts, countSections } from '../outcome.ts';
import { placeBotsInOrganizations, planAccessTokens } from './access-tokens.ts';
import {
  checkRemovedOrganizations,
  planOrganizations,
  planOwners,
  planSettings,
  planUsers,
} from './accounts.ts';
import { createDraft, diffDraft, removeOrphans } from './draft.ts';
import { planGrants } from './grants.ts';
import { planDeployTokens, planJobTokens } from './other-tokens.ts';
import { collectReferences, type Planning, type SectionOutcome } from './planning.ts';
import { checkSecretsUnique, rememberRevocations } from './secrets.ts';
import { settleTree } from './settle-tree.ts';
import { planTree } from './tree-entries.ts';

export interface PlanInput {
  readonly read: ReadDocument & { readonly document: DirectoryDocument };
  readonly stored: DirectoryRows;
  readonly prune: boolean;
  /** For a check without a server: what the document has no section for is taken to be there. */
  readonly assume: boolean;
  readonly now: Date;
  /** Argon2id hashes of the document's passwords, by place in `users`. */
  readonly passwordHashes: ReadonlyMap<number, string>;
  /** Ids for new entries, as many as an earlier plan wanted. Without: negative ones, and the plan must not be written. */
  readonly freshIds?: ReadonlyMap<IdSource, readonly number[]>;
}

export interface Plan {
  readonly changes: DirectoryChanges;
  readonly counts: Readonly<Record<string, Counts>>;
  readonly problems: readonly Problem[];
  /** How many new ids it takes, and above which. */
  readonly wantedIds: ReadonlyMap<IdSource, { readonly count: number; readonly above: number }>;
}

/**
 * What has to change for the directory to be what the document says; and everything in the document that can't be, given what is
 * stored. Plain data in, plain data out, but for the random part of a new bot's name.
 */
export function planDirectory(input: PlanInput): Plan {
  const problems: Problem[] = [];
  const taken = new Map<IdSource, number>();
  const planning = startPlanning(input, problems, taken);
  planSettings(planning);
  planOrganizations(planning);
  planUsers(planning);
  const tree = planTree(planning);
  settleTree(planning, tree);
  removeOrphans(planning.draft);
  const references = collectReferences(planning, tree);
  planOwners(planning, references);
  planGrants(planning, references);
  planAccessTokens(planning, references);
  planDeployTokens(planning, references);
  planJobTokens(planning, references);
  checkSecretsUnique(planning);
  rememberRevocations(planning);
  placeBotsInOrganizations(planning);
  checkRemovedOrganizations(planning);
  removeOrphans(planning.draft);
  const changes = diffDraft(planning.draft);
  return {
    changes,
    counts: countSections(planning, changes),
    problems,
    wantedIds: wantedIds(taken, planning.highestGivenId),
  };
}

function startPlanning(input: PlanInput, problems: Problem[], taken: Map<IdSource, number>): Planning {
  const { read, stored, freshIds } = input;
  const report: Planning['report'] = (path, message) => problems.push(read.locate(path, message));
  checkEntries(read.document, report);
  return {
    ...input,
    document: read.document,
    unreadable: read.unreadable,
    draft: createDraft(stored),
    takeId: (source) => takeId(source, taken, freshIds),
    randomHex: () => randomBytes(16).toString('hex'),
    report,
    outcome: {
      organizations: startOutcome(),
      users: startOutcome(),
      groups: startOutcome(),
      projects: startOutcome(),
      access_tokens: startOutcome(),
      deploy_tokens: startOutcome(),
      job_tokens: startOutcome(),
    },
    highestGivenId: new Map(),
  };
}

function startOutcome(): SectionOutcome {
  return { placeOf: new Map(), added: new Set(), removed: new Set() };
}

function takeId(source: IdSource, taken: Map<IdSource, number>, freshIds: PlanInput['freshIds']): number {
  const count = taken.get(source) ?? 0;
  taken.set(source, count + 1);
  if (freshIds === undefined) return -1 - [...taken.values()].reduce((sum, value) => sum + value, 0);
  const id = freshIds.get(source)?.[count];
  if (id === undefined) throw new Error(`the plan took more ids of ${source} than the one before it`);
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
