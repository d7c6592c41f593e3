import type { IssuerRules } from '../config/federation.ts';
import { readYaml, type YamlFile } from '../config/yaml.ts';
import { CellpassError, firstProblems, type Problem } from '../errors.ts';
import { AT_LENGTH, type Database, type Sql } from '../store/database/drivers.ts';
import { changeDirectory, lockJobTokens, writeDirectory } from '../store/directory/directory.ts';
import { allocateIds } from '../store/directory/ids.ts';
import { findRows, readDirectory } from '../store/directory/read-rows.ts';
import type { IdSource } from '../store/directory/tables.ts';
import type { DirectoryDocument } from './document/document.ts';
import { checkEntries } from './document/entry-rules.ts';
import { checkExamples } from './document/examples.ts';
import { keyOf } from './document/fields.ts';
import { invalidDocument } from './document/problems.ts';
import { type ReadDocument, readContent } from './document/read.ts';
import { namesInPlan, storedNames, withSuggestions } from './document/suggestions.ts';
import type { Plain } from './export/names.ts';
import { recordPlan } from './history/record.ts';
import { mergeStored } from './merge/merge.ts';
import type { Counts } from './plan/counts.ts';
import { type Plan, type PlanInput, planDirectory } from './plan/plan.ts';
import { type EntryChange, entryChanges } from './preview/entry-changes.ts';
import { whyAsk } from './preview/guard.ts';
import { digestOfPreview } from './preview/preview-digest.ts';
import { documentOf, draftOf, type SingleChange } from './single/single-change.ts';
import { planOnPart } from './stored/plan-on-part.ts';

export interface ApplyDependencies {
  readonly database: Pick<Database, 'transaction'>;
  readonly passwords: {
    hash(password: string): Promise<string>;
    verify(hash: string | null, password: string): Promise<boolean>;
  };
  readonly now: () => Date;
  /**
   * True: the secrets of `examples/` are problems, because clients on other machines know them.
   * Default: false.
   */
  readonly refusesExamples?: boolean;
  /** What identities of each issuer must pin; null: the settings name no issuer. */
  readonly issuers?: IssuerRules | null;
  /** `limits.token_days`, of which documents get a warning; missing: none. */
  readonly tokenDays?: number;
}

export interface ApplyResult {
  readonly changed: boolean;
  /** By section of the document; also `organizations` if the default organization was created. */
  readonly sections: Readonly<Record<string, Counts>>;
  /** What is probably not meant, with its lines. */
  readonly warnings: readonly Problem[];
  /** Entry by entry, the first `MOST_CHANGES`; never a secret. */
  readonly changes: readonly EntryChange[];
  /** How many changes `changes` leaves out. */
  readonly more_changes: number;
  /** By which the change can be undone; null: nothing was changed. */
  readonly change_id: number | null;
  /** Names the list of changes, whole: `ApplyOptions.preview` takes it. */
  readonly preview: string;
  /** Of a dry run: why the document would be refused; null: it would not. */
  readonly refused: string | null;
}

export interface ApplyOptions {
  /** Remove what a section of the document no longer names. */
  readonly prune: boolean;
  /** An entry changes only the fields that it names. Default: false. */
  readonly merge?: boolean;
  /** Who applies it, for the history. */
  readonly who: string;
  /** Only say what would be changed. Default: false. */
  readonly dryRun?: boolean;
  /** How many removals are no accident; null or missing: any number, and admins, too. */
  readonly maxRemovals?: number | null;
  /** The `preview` of a dry run: apply these changes, or none. Null or missing: any. */
  readonly preview?: string | null;
}

const MOST_CHANGES = 10_000;
const ANOTHER_LIST =
  'the directory was changed since the list was shown, and the list would be another one now';

/**
 * Applies a document, or one change, in one transaction: all of it or nothing. Applying it again
 * changes nothing. Without pruning it costs in proportion to the entries of the document.
 * @param given the text of a document, or one change.
 * @throws {CellpassError} `invalid`, with the first problems and their lines; `conflict` when it
 *   removes more than `maxRemovals`, or takes the rights of an admin away, or would no longer make the
 *   changes of `preview`; as `documentOf`.
 */
export async function applyDirectory(
  { database, passwords, now, refusesExamples = false, issuers = null, tokenDays }: ApplyDependencies,
  given: string | SingleChange,
  { prune, merge = false, who, dryRun = false, maxRemovals = null, preview = null }: ApplyOptions,
): Promise<ApplyResult> {
  const file = typeof given === 'string' ? readYaml(given) : { ...NO_FILE, content: draftOf(given) };
  const isPartial = merge || typeof given !== 'string';
  const read = (yaml: YamlFile): ReadDocument => {
    const found = readContent(yaml);
    return refusesExamples ? withExamples(found) : found;
  };
  const draft = readable(read(file));
  // Hash before the transaction, because hashing is slow, and only for a valid document; what a
  // partial one lacks is not known yet.
  const needsHashes = isPartial || !hasProblems(draft);
  const passwordHashes = needsHashes ? await hashPasswords(database, draft.document, passwords) : new Map();
  return changeDirectory(
    database,
    async (sql) => {
      // Before any of them is read: a merged one keeps what the document does not name.
      if (draft.document.job_tokens !== undefined) await lockJobTokens(sql);
      const valid = isPartial
        ? readable(read({ ...file, content: await complete(sql, file, given) }))
        : draft;
      const identityRules = { issuers, unknownIssuers: NO_FEDERATION };
      const at = now();
      const keepsOrder = isPartial;
      // A single change names no tokens, and a merged document those that are stored, too.
      const tokenLimits = tokenDays === undefined || isPartial ? null : { now: at, tokenDays };
      const rules = { identityRules, tokenLimits };
      const input = { read: valid, prune, assume: false, keepsOrder, now: at, passwordHashes, ...rules };
      const plan = await planOnStored(sql, input);
      const changes = await entryChanges(sql, plan);
      const made = digestOfPreview(changes);
      const isAsShown = preview === null || preview === made;
      const reason = isAsShown ? whyAsk(changes, maxRemovals) : ANOTHER_LIST;
      if (!dryRun && reason !== null) throw new CellpassError('conflict', `nothing was applied: ${reason}`);
      if (!dryRun) await writeDirectory(sql, plan.changes);
      const counts = Object.values(plan.counts);
      return {
        changed: counts.some(({ added, changed, removed }) => added + changed + removed > 0),
        sections: plan.counts,
        warnings: firstProblems(plan.warnings),
        changes: changes.slice(0, MOST_CHANGES).map(toEntryChange),
        more_changes: Math.max(0, changes.length - MOST_CHANGES),
        change_id: dryRun ? null : await recordPlan(sql, plan, changes, { at, who }),
        preview: made,
        refused: reason,
      };
    },
    who,
  );
}

type Readable = ReadDocument & { readonly document: DirectoryDocument };

const NO_FILE = { problems: [], lineOf: () => 1 };

function readable(read: ReadDocument): Readable {
  const { document } = read;
  if (document === null) throw invalidDocument(read.problems);
  return { ...read, document };
}

/** A document whose entries have all fields, from the stored ones where it does not name them. */
function complete(sql: Sql, { content }: YamlFile, given: string | SingleChange): Promise<Plain> {
  return typeof given === 'string' ? mergeStored(sql, content ?? {}) : documentOf(sql, given);
}

function toEntryChange({ op, section, name, fields }: EntryChange): EntryChange {
  return { op, section, name, fields };
}

const NO_FEDERATION =
  'this server has no issuers (federation in the file of CELLPASS_CONFIG), so no ID token is taken';

function hasProblems(read: Readable): boolean {
  let problems = read.problems.length;
  checkEntries(read.document, () => {
    problems += 1;
  });
  return problems > 0;
}

/** Adds a problem for each secret that stands in `examples/`. */
function withExamples(read: ReadDocument): ReadDocument {
  if (read.document === null) return read;
  const problems: Problem[] = [];
  checkExamples(read.document, (path, message) => problems.push(read.locate(path, message)));
  return { ...read, problems: [...read.problems, ...problems] };
}

/** The first plan finds the problems and the number of new ids; the second plan uses these ids. */
async function planOnStored(sql: Sql, input: Omit<PlanInput, 'stored'>): Promise<Plan> {
  const { stored, plan } = input.prune ? await planOnWhole(sql, input) : await planOnPart(sql, input);
  const problems = [...input.read.problems, ...plan.problems];
  if (problems.length > 0) {
    const planned = namesInPlan(plan.tables);
    const others = await storedNames(sql, problems);
    throw invalidDocument(withSuggestions(problems, (section) => [...planned(section), ...others(section)]));
  }
  if (plan.wantedIds.size === 0) return plan;
  const freshIds = new Map<IdSource, readonly number[]>();
  for (const [source, request] of plan.wantedIds)
    freshIds.set(source, await allocateIds(sql, source, request));
  return planDirectory({ ...input, stored, freshIds });
}

/** Pruning has to know every entry that the document doesn't name. */
async function planOnWhole(sql: Sql, input: Omit<PlanInput, 'stored'>) {
  const stored = await readDirectory(sql);
  return { stored, plan: planDirectory({ ...input, stored }) };
}

/**
 * Hashes by index in `users`. Keeps the stored hash if the password is the same, so that nothing
 * changes.
 */
async function hashPasswords(
  database: Pick<Database, 'transaction'>,
  document: DirectoryDocument,
  passwords: ApplyDependencies['passwords'],
): Promise<ReadonlyMap<number, string>> {
  const hashes = new Map<number, string>();
  const withPassword = document.users?.filter(({ password }) => password !== undefined) ?? [];
  if (withPassword.length === 0) return hashes;
  const stored = await database.transaction(
    async (sql) => [
      ...(await findRows(sql, 'users', { id: withPassword.flatMap(({ id }) => id ?? []) })),
      ...(await findRows(sql, 'users', {
        username_key: withPassword.map(({ username }) => keyOf(username)),
      })),
    ],
    AT_LENGTH,
  );
  const byId = new Map(stored.map((row) => [row.id, row.password_hash]));
  const byName = new Map(stored.map((row) => [row.username_key, row.password_hash]));
  // One after the other, because logins wait in the same queue.
  for (const { at, id, username, password = '' } of withPassword) {
    const known = (id === undefined ? undefined : byId.get(id)) ?? byName.get(keyOf(username)) ?? null;
    const isSame = known !== null && (await passwords.verify(known, password));
    hashes.set(at, isSame ? known : await passwords.hash(password));
  }
  return hashes;
}
