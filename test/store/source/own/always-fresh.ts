import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { Database } from '../../../../src/store/database/drivers.ts';
import { createOwnSource } from '../../../../src/store/source/own/source.ts';
import { remembering } from '../../../../src/store/source/remembered.ts';
import { oneRequest } from '../one-request.ts';
import { CHANGES, SECRETS } from './changing-directory.ts';

const LOGINS = [
  null,
  { username: 'alice', password: SECRETS.alice },
  { username: 'bob', password: SECRETS.bob },
  { username: 'bob', password: SECRETS.old },
  { username: 'puller', password: SECRETS.deploy },
  { username: 'gitlab-ci-token', password: SECRETS.job },
  { username: 'gitlab-ci-token', password: SECRETS.otherJob },
  { username: 'gitlab-ci-token', password: SECRETS.alice },
  { username: 'gitlab-ci-token', password: SECRETS.old },
];

/** Some of them exist only after a move or a new name. */
const PATHS = [
  ['acme/app'],
  ['acme/open', 'acme/none'],
  ['ex-acme/app', 'ex-acme/open'],
  ['friends/app', 'acme/sub/deep/app'],
  ['acme/sub/api', 'other/sub/api', 'sub/api'],
  ['acme/sub/deep/well', 'friends/deep/well', 'acme/app'],
  ['other/tool', 'acme/tool'],
  ['acme/app', 'nowhere/tool'],
];

/** Steps that repeat a request make a run more likely to be answered from the cache. */
const REQUESTS_PER_CHANGE = 3;

interface FreshnessRuns {
  readonly runs: number;
  /** The most steps of a run; each is a request or a change. */
  readonly steps: number;
}

/**
 * Makes random changes and asks random questions, each of a cache that remembers all answers and of
 * the tables themselves. The directory is that of `fillDirectory`.
 * @returns how many requests the cache got, and how many of them it answered.
 */
export async function assertNeverStale(
  database: Database,
  { runs, steps }: FreshnessRuns,
): Promise<{ readonly hits: number; readonly questions: number }> {
  const fresh = createOwnSource(database);
  const cached = remembering(fresh, { maxBytes: 10_000_000 });
  const request = fc.record({ credentials: fc.constantFrom(...LOGINS), paths: fc.constantFrom(...PATHS) });
  const step = fc.oneof(
    { weight: REQUESTS_PER_CHANGE, arbitrary: request },
    { weight: 1, arbitrary: fc.constantFrom(...CHANGES) },
  );
  const run = fc.array(step, { minLength: Math.ceil(steps / 2), maxLength: steps });
  await fc.assert(
    fc.asyncProperty(run, async (made) => {
      const asked = new Map<string, Parameters<typeof oneRequest>[1]>();
      for (const one of made) {
        if (typeof one === 'string') await change(database, one);
        else asked.set(JSON.stringify(one), one);
        // After a change every earlier question is asked anew.
        for (const again of typeof one === 'string' ? asked.values() : [one]) {
          assert.deepEqual(await oneRequest(cached, again), await oneRequest(fresh, again));
        }
      }
    }),
    // A run begins with what the one before it left, so no smaller run shows the same failure.
    { numRuns: runs, endOnFailure: true },
  );
  const { hits, misses } = cached.stats();
  return { hits, questions: hits + misses };
}

const UNIQUE_VIOLATION = '23505';

/**
 * A change that would make two rows of the same key is refused, and changes nothing: which rows
 * there are is up to the changes before it.
 */
async function change(database: Database, sql: string): Promise<void> {
  try {
    await database.execute(sql);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === UNIQUE_VIOLATION)) throw error;
  }
}
