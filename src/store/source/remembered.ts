import { LRUCache } from 'lru-cache';
import type { DirectorySource, SourceAnswer, SourceQuestion } from '../../authn/source.ts';
import { createCurrentVersion } from './current-version.ts';

/**
 * A source whose every state has a name, so that an earlier answer can be checked by one small
 * question.
 */
export interface VersionedSource extends DirectorySource {
  ask(question: SourceQuestion | null, paths: readonly string[]): Promise<VersionedAnswer>;
  /**
   * The name of the current state: another after every change that an answer rests on, except to
   * jobs.
   */
  version(): Promise<string>;
}

export type VersionedAnswer = SourceAnswer & { readonly version: string };

export interface RememberingSource extends DirectorySource {
  keep(question: SourceQuestion | null, paths: readonly string[], answer: SourceAnswer): void;
  stats(): CacheStats;
}

/** Requests that the cache answered, requests that it did not, and what it holds now. */
export interface CacheStats {
  readonly hits: number;
  readonly misses: number;
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
 * sent after the request came, that its state is still the one of that answer. So a revocation
 * counts from the next request on, on every replica, as if there were no cache; but the source
 * answers one small question for all requests that wait, instead of a large one for each. See
 * docs/adr/0008-remember-what-the-directory-said.md.
 */
export function remembering(source: VersionedSource, { maxBytes }: RememberingOptions): RememberingSource {
  const cache = maxBytes > 0 ? new LRUCache<string, VersionedAnswer>({ maxSize: maxBytes }) : null;
  const currentVersion = createCurrentVersion(() => source.version());
  let hits = 0;
  let misses = 0;

  const recall = async (key: string | null): Promise<VersionedAnswer | undefined> => {
    const cached = key === null ? undefined : cache?.get(key);
    if (cached === undefined) return undefined;
    return cached.version === (await currentVersion()) ? cached : undefined;
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
      if (cache === null || key === null || !isVersioned(answer) || isByPassword(answer)) return;
      if (cache.peek(key) === answer) return;
      cache.set(key, answer, { size: Math.ceil(BYTES_PER_CHARACTER * JSON.stringify([key, answer]).length) });
    },
    stats: () => ({ hits, misses, entries: cache?.size ?? 0, bytes: cache?.calculatedSize ?? 0 }),
  };
}

/**
 * Null where the secret may be a job's: jobs come and go without a new version of the directory.
 */
function keyOf(question: SourceQuestion | null, paths: readonly string[]): string | null {
  const joined = paths.join(' ');
  if (question === null) return joined;
  const { secret, username, kinds } = question;
  if (kinds.includes('job')) return null;
  // Only a user name can have a line feed, and it comes last, so that no two questions have the
  // same key.
  return `${joined}\n${kinds.join(' ')}\n${Buffer.from(secret.sha256()).toString('base64')}\n${username}`;
}

function isVersioned(answer: SourceAnswer): answer is VersionedAnswer {
  return answer.version !== undefined;
}

/** A key holds the plain SHA-256 of the secret, and a password must not be kept like that. */
function isByPassword({ credentials }: SourceAnswer): boolean {
  return credentials.account !== null && credentials.accessToken === null && credentials.deployToken === null;
}
