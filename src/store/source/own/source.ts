import { ANONYMOUS } from '../../../policy/subject.ts';
import type { Sql } from '../../database/drivers.ts';
import type { VersionedAnswer, VersionedSource } from '../remembered.ts';
import { ask } from './ask.ts';
import { findIdentities, findSubject, NO_CREDENTIALS } from './credentials.ts';
import { findFacts } from './facts.ts';
import { ifWritable, readVersions } from './versions.ts';

/**
 * About nobody: facts are asked for when it is known whom the ID token stands for. Nothing of it is
 * cached.
 */
const NO_FACTS: Omit<VersionedAnswer, 'credentials'> = {
  facts: { instance: { registryEnabled: false, maintenanceMode: true }, projects: [] },
  about: { userId: null, deployTokenId: null, jobProjectId: null },
  versions: {},
};

const PING = `SELECT ${ifWritable("'writable'")} FROM settings`;

/** cellpass's own tables as the source of the directory, on either driver. */
export function createOwnSource(sql: Sql): VersionedSource {
  return {
    async ask(question, paths) {
      if (question?.idToken !== undefined)
        return { ...NO_FACTS, credentials: await findIdentities(sql, question.idToken) };
      if (question !== null) return ask(sql, question, paths);
      return { ...(await findFacts(sql, ANONYMOUS, paths)), credentials: NO_CREDENTIALS };
    },
    async facts(subject, paths) {
      const { facts } = await findFacts(sql, subject, paths);
      return facts;
    },
    find: (question) => findSubject(sql, question),
    async ping() {
      // Every question reads this table; it may be locked, or missing.
      await sql.query(PING);
    },
    versions: (units) => readVersions(sql, units),
  };
}
