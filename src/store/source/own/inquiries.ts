import { LRUCache } from 'lru-cache';
import type { CredentialAnswer, CredentialLookup, CredentialQuestion } from '../../../authn/account.ts';
import type { Facts } from '../../../policy/project.ts';
import type { Subject } from '../../../policy/subject.ts';
import type { Sql } from '../../database/drivers.ts';
import { createCurrentVersion, readVersion } from './directory-version.ts';
import { type AskedIds, findFacts, idsOf } from './facts.ts';
import { type Found, inquire } from './inquiry.ts';

/** The questions of one token request. */
export interface Inquiry extends CredentialLookup {
  /** How the subject stands to the projects. Costs nothing more where the subject is whose secret it was. */
  findFacts(subject: Subject): Promise<Facts>;
  /**
   * Remembers what was found, for the next request like this one. For what granted something alone: whoever may not have anything can't
   * fill the cache, nor tell from the time of an answer what was remembered.
   */
  keep(): void;
}

/** Requests that were answered from the cache, those that were not, and what is remembered now. */
export interface CacheUse {
  readonly hits: number;
  readonly misses: number;
  readonly entries: number;
  readonly bytes: number;
}

export interface Inquiries {
  /** @param paths of the projects that could own what is asked, in lower case. */
  inquire(paths: readonly string[]): Inquiry;
  use(): CacheUse;
}

export interface InquiriesOptions {
  /** Of what is remembered, about; 0: nothing is. */
  readonly maxBytes: number;
}

/** Of an answer in memory, for each character of its JSON; 1.3 to 1.4 were measured. */
const BYTES_PER_CHARACTER = 1.5;

/** What is found of somebody who has shown nothing. */
const NO_CREDENTIALS: CredentialAnswer = {
  passwordAuthentication: false,
  job: null,
  accessToken: null,
  deployToken: null,
  account: null,
};

/**
 * What the database answered is remembered, and used again only after the database has said, since the request came, that the directory is
 * still the one of that answer. So a revocation counts from the next request on, on every replica, as if nothing were remembered; but the
 * database is asked for one row, once for all requests that wait, in place of everything for each of them.
 */
export function createInquiries(sql: Sql, { maxBytes }: InquiriesOptions): Inquiries {
  const cache = maxBytes > 0 ? new LRUCache<string, Found>({ maxSize: maxBytes }) : null;
  const currentVersion = createCurrentVersion(() => readVersion(sql));
  let hits = 0;
  let misses = 0;

  const recall = async (name: string | null): Promise<Found | undefined> => {
    const remembered = name === null ? undefined : cache?.get(name);
    const holds = remembered !== undefined && remembered.version === (await currentVersion());
    if (holds) hits += 1;
    else misses += 1;
    return holds ? remembered : undefined;
  };

  return {
    inquire(paths) {
      let found: Found | undefined;
      let keepAs: string | null = null;
      const find = async (name: string | null, ask: () => Promise<Found>): Promise<Found> => {
        const recalled = await recall(name);
        keepAs = recalled === undefined ? name : null;
        found = recalled ?? (await ask());
        return found;
      };
      return {
        async findCredentials(question) {
          const { credentials } = await find(nameOf(question, paths), () => inquire(sql, question, paths));
          return credentials;
        },
        async findFacts(subject) {
          if (found === undefined && subject.kind === 'anonymous') {
            const ask = async () => ({
              ...(await findFacts(sql, subject, paths)),
              credentials: NO_CREDENTIALS,
            });
            return (await find(nameOf(null, paths), ask)).facts;
          }
          // Facts about one subject never decide about another.
          if (found !== undefined && areSame(found.about, idsOf(subject))) return found.facts;
          return (await findFacts(sql, subject, paths)).facts;
        },
        keep() {
          if (keepAs === null || found === undefined || isByPassword(found)) return;
          cache?.set(keepAs, found, {
            size: Math.ceil(BYTES_PER_CHARACTER * JSON.stringify([keepAs, found]).length),
          });
        },
      };
    },
    use: () => ({ hits, misses, entries: cache?.size ?? 0, bytes: cache?.calculatedSize ?? 0 }),
  };
}

/** Null: a job, which is asked about each time, because jobs come and go without a new version of the directory. */
function nameOf(question: CredentialQuestion | null, paths: readonly string[]): string | null {
  const asked = paths.join(' ');
  if (question === null) return asked;
  const { kind, digest, loginKey } = question;
  // A login may have any character; a path has no line feed, so that nobody's name is another's.
  return kind === 'job' ? null : `${asked}\n${kind}\n${Buffer.from(digest).toString('base64')}\n${loginKey}`;
}

/** A name has the secret's plain SHA-256, which is no way to keep a password. */
function isByPassword({ credentials }: Found): boolean {
  return credentials.account !== null && credentials.accessToken === null && credentials.deployToken === null;
}

function areSame(one: AskedIds, other: AskedIds): boolean {
  return (
    one.userId === other.userId &&
    one.deployTokenId === other.deployTokenId &&
    one.jobProjectId === other.jobProjectId
  );
}
