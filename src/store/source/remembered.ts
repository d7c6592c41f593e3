import { LRUCache } from 'lru-cache';
import type { DirectorySource, SourceAnswer, SourceQuestion } from '../../authn/source.ts';
import { createCurrentVersions, type Versions } from './current-versions.ts';

/**
 * A source whose parts have versions, so that earlier answers can be checked by one small question.
 * A part, called a unit, is whatever the source chooses, such as one user.
 */
export interface VersionedSource extends DirectorySource {
  ask(question: SourceQuestion | null, paths: readonly string[]): Promise<VersionedAnswer>;
  /**
   * The current versions of units that answers named. After every change that could make an answer
   * another one, at least one of the units that it names has another version.
   */
  versions(units: readonly string[]): Promise<Versions>;
}

export type VersionedAnswer = SourceAnswer & { readonly versions: Versions };

export interface RememberingSource extends DirectorySource {
  keep(question: SourceQuestion | null, paths: readonly string[], answer: SourceAnswer): void;
  stats(): CacheStats;
}

/** What the cache did since the start, and what it holds now. */
export interface CacheStats {
  /** Requests that the cache answered. */
  readonly hits: number;
  readonly misses: number;
  /** How often it asked the source for versions. */
  readonly questions: number;
  readonly entries: number;
  readonly bytes: number;
}

export interface RememberingOptions {
  /** How much the cache may hold, estimated; 0 switches it off. */
  readonly maxBytes: number;
}

/** Memory of an answer for each character of its JSON; 1.3 to 1.4 were measured. */
const BYTES_PER_CHARACTER = 1.5;

/**
 * Caches answers of a source, and uses one only after the source has said, by a question that was
 * sent after the request came, that everything the answer rests on has the same version still. So a
 * revocation counts from the next request on, on every replica, as if there were no cache; but the
 * source answers one small question for all requests that wait, instead of a large one for each.
 * See docs/adr/0014-versions-of-units.md.
 */
export function remembering(source: VersionedSource, { maxBytes }: RememberingOptions): RememberingSource {
  const cache = maxBytes > 0 ? new LRUCache<string, VersionedAnswer>({ maxSize: maxBytes }) : null;
  let hits = 0;
  let misses = 0;
  let questions = 0;
  const currentVersions = createCurrentVersions((units) => {
    questions += 1;
    return source.versions(units);
  });

  const recall = async (key: string): Promise<VersionedAnswer | undefined> => {
    const cached = cache?.get(key);
    if (cached === undefined) return undefined;
    const units = Object.keys(cached.versions);
    const current = await currentVersions(units);
    return units.every((unit) => current[unit] === cached.versions[unit]) ? cached : undefined;
  };

  return {
    async ask(question, paths) {
      const recalled = await recall(keyOf(question, paths));
      if (recalled !== undefined) {
        hits += 1;
        return recalled;
      }
      misses += 1;
      return source.ask(question, paths);
    },
    facts: (subject, paths) => source.facts(subject, paths),
    find: (question) => source.find(question),
    ping: () => source.ping(),
    keep(question, paths, answer) {
      const key = keyOf(question, paths);
      if (cache === null || !isVersioned(answer) || mayBePassword(question, answer)) return;
      if (cache.peek(key) === answer) return;
      cache.set(key, answer, { size: Math.ceil(BYTES_PER_CHARACTER * JSON.stringify([key, answer]).length) });
    },
    stats: () => ({ hits, misses, questions, entries: cache?.size ?? 0, bytes: cache?.calculatedSize ?? 0 }),
  };
}

function keyOf(question: SourceQuestion | null, paths: readonly string[]): string {
  const joined = paths.join(' ');
  if (question === null) return joined;
  const { secret, username, kinds } = question;
  // Only a user name can have a line feed, and it comes last, so that no two questions have the
  // same key.
  return `${joined}\n${kinds.join(' ')}\n${Buffer.from(secret.sha256()).toString('base64')}\n${username}`;
}

function isVersioned(answer: SourceAnswer): answer is VersionedAnswer {
  return answer.versions !== undefined;
}

/**
 * A key holds the plain SHA-256 of the secret, and a password must not be kept like that. Where the
 * secret has a record, it is no password, and nothing reads the account that the login name finds.
 */
function mayBePassword(question: SourceQuestion | null, { credentials }: SourceAnswer): boolean {
  const { job, accessToken, deployToken } = credentials;
  return question !== null && job === null && accessToken === null && deployToken === null;
}
