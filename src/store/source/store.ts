import type { KeyStore } from '../../keys/key-set.ts';
import type { Facts } from '../../policy/project.ts';
import type { Subject } from '../../policy/subject.ts';
import type { Inquiry } from './own/inquiries.ts';

/**
 * What every token request asks, in one round trip. Another source, such as GitLab's own tables, could answer it.
 */
export interface TokenStore {
  /** Begins the questions of one request, about these projects (paths in lower case). */
  inquire(paths: readonly string[]): Inquiry;
  /** The projects among `paths` (lower case) with how the subject stands to each, and the state of the installation. */
  findFacts(subject: Subject, paths: readonly string[]): Promise<Facts>;
}

/** The whole contract with the database, but for the directory document, which `directory/` works on by itself. */
export interface Store extends TokenStore, KeyStore {
  /** @throws {CellpassError} `unavailable` */
  ping(): Promise<void>;
  /** Remembers which cell this database belongs to. Throws `conflict` when it belongs to another. */
  claimForCell(cell: number): Promise<void>;
  close(): Promise<void>;
}
