import { createCipheriv, createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto';
import bcrypt from 'bcrypt';
import { parse } from 'yaml';
import type { Database, Sql } from '../../../src/store/database/drivers.ts';
import { openPostgres } from '../../../src/store/database/postgres.ts';
import { readDirectory } from '../../../src/store/directory/read-rows.ts';
import { deriveKeys } from '../../../src/store/source/gitlab/keys.ts';
import { type GitlabRows, type Secrets, toGitlabRows } from './rows.ts';
import { type GitlabVersion, gitlabTables, moveCiAway, NEWEST } from './tables.ts';

/** The databases of a GitLab. */
export interface GitlabFixture {
  /** As its owner. */
  readonly main: Database;
  readonly mainUrl: string;
  /** Null: CI's tables are in the main database. */
  readonly ci: Database | null;
  readonly ciUrl: string | null;
  readonly dbKeyBase: string;
  /** GitLab's key for job tokens; null: this GitLab has none. */
  readonly jobKey: KeyObject | null;
  close(): Promise<void>;
}

export interface FixtureOptions {
  readonly version?: GitlabVersion;
  /** The URL of an empty database for CI's tables. */
  readonly ciUrl?: string | null;
  readonly dbKeyBase?: string;
  /** Whether this GitLab has a key for job tokens, from 17.7 on; default: true. */
  readonly hasJobKey?: boolean;
}

/** Makes GitLab's tables in an empty database. */
export async function createGitlab(
  mainUrl: string,
  {
    version = NEWEST,
    ciUrl = null,
    dbKeyBase = randomBytes(64).toString('hex'),
    hasJobKey = true,
  }: FixtureOptions = {},
): Promise<GitlabFixture> {
  const text = gitlabTables(version);
  const main = openPostgres(mainUrl);
  const ci = ciUrl === null ? null : openPostgres(ciUrl);
  await main.execute(text);
  if (ci !== null) {
    await ci.execute(text);
    await moveCiAway(main);
  }
  const close = async (): Promise<void> => {
    await main.close();
    await ci?.close();
  };
  const jobKey = hasJobKey ? jobKeyOfThisProcess() : null;
  return { main, mainUrl, ci, ciUrl, dbKeyBase, jobKey, close };
}

/** Secrets and passwords that a directory document holds, by what cellpass keeps of them. */
export class KnownSecrets implements Secrets {
  readonly #secrets = new Map<string, string>();
  readonly #hashes = new Map<string, string>();

  /** Remembers every `token` of the document. */
  learn(document: string | object): void {
    this.#walk(typeof document === 'string' ? parse(document) : document);
  }

  /** @param ownHash cellpass's hash of the password. */
  learnPassword(ownHash: string, password: string): void {
    // The lowest cost, because nothing here depends on it.
    if (!this.#hashes.has(ownHash))
      this.#hashes.set(ownHash, bcrypt.hashSync(password, 4).replace('$2b$', '$2a$'));
  }

  /** A hash for a password that a document holds. */
  inventHash(password: string): string {
    const hash = `$argon2id$${createHash('sha256').update(password).digest('hex')}`;
    this.learnPassword(hash, password);
    return hash;
  }

  secretOf(sha256: string): string {
    return this.#secrets.get(sha256) ?? `unknown-${sha256}`;
  }

  gitlabHashOf(ownHash: string): string {
    return this.#hashes.get(ownHash) ?? '';
  }

  #walk(value: unknown): void {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, inner] of Object.entries(value)) {
      if (name === 'token' && typeof inner === 'string') {
        this.#secrets.set(createHash('sha256').update(inner).digest('hex'), inner);
      } else this.#walk(inner);
    }
  }
}

let jobKey: KeyObject | undefined;

/** Made once, because it takes time. */
function jobKeyOfThisProcess(): KeyObject {
  jobKey ??= generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  return jobKey;
}

/** As GitLab keeps its key for job tokens (`attr_encrypted`, AES-256-GCM). */
export function sealJobKey(
  key: KeyObject,
  dbKeyBase: string,
): { readonly value: string; readonly iv: string } {
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', Buffer.from(dbKeyBase.slice(0, 32)), iv);
  const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const sealed = Buffer.concat([cipher.update(pem), cipher.final(), cipher.getAuthTag()]);
  return { value: `\\x${sealed.toString('hex')}`, iv: `\\x${iv.toString('hex')}` };
}

/** What is in each table, so that a test can tell that nothing was written. */
export async function contentOf(database: Sql): Promise<Readonly<Record<string, string>>> {
  const tables = await database.query<{ name: string }>(
    "SELECT relname AS name FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY 1",
  );
  const content: Record<string, string> = {};
  for (const { name } of tables) {
    const [row] = await database.query<{ digest: string | null }>(
      `SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) AS digest FROM ${name} AS t`,
    );
    content[name] = row?.digest ?? '';
  }
  return content;
}

const CI_TABLES: ReadonlySet<string> = new Set([
  'p_ci_builds',
  'ci_job_token_project_scope_links',
  'ci_job_token_group_scope_links',
  'ci_project_mirrors',
  'ci_namespace_mirrors',
]);

/** Writes the directory of cellpass's own tables into GitLab's, in the place of what is there. */
export async function copyToGitlab(own: Database, gitlab: GitlabFixture, secrets: Secrets): Promise<void> {
  const today = new Date().toISOString().slice(0, 10);
  const rows = await own.transaction(readDirectory);
  const all = toGitlabRows(rows, {
    jobKey: gitlab.jobKey && sealJobKey(gitlab.jobKey, gitlab.dbKeyBase),
    keys: deriveKeys([gitlab.dbKeyBase]),
    secrets,
    today,
  });
  const ofCi = new Map([...all].filter(([table]) => CI_TABLES.has(table)));
  const others = new Map([...all].filter(([table]) => !CI_TABLES.has(table)));
  if (gitlab.ci === null) await replaceRows(gitlab.main, all);
  else {
    await replaceRows(gitlab.main, others);
    await replaceRows(gitlab.ci, ofCi);
  }
}

async function replaceRows(database: Database, tables: GitlabRows): Promise<void> {
  await database.transaction(async (sql) => {
    for (const [table, rows] of tables) await replaceTable(sql, table, rows);
  });
}

async function replaceTable(
  sql: Sql,
  table: string,
  rows: readonly Readonly<Record<string, unknown>>[],
): Promise<void> {
  const columns = await sql.query<{ name: string }>(
    'SELECT attname AS name FROM pg_attribute WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped',
    [table],
  );
  // This version of GitLab does not have it.
  if (columns.length === 0) return;
  await sql.query(`DELETE FROM ${table}`);
  const [first] = rows;
  if (first === undefined) return;
  const there = new Set(columns.map(({ name }) => name));
  const names = [...new Set(rows.flatMap((row) => Object.keys(row)))]
    .filter((name) => there.has(name))
    .join(', ');
  await sql.query(
    `INSERT INTO ${table} (${names}) SELECT ${names} FROM json_populate_recordset(NULL::${table}, $1::json)`,
    [JSON.stringify(rows)],
  );
}
