import type { Row, Sql } from '../database/drivers.ts';
import type { ChangedTables } from './table-values.ts';
import type { TableName } from './tables.ts';

/** What a document never leads to, and no constraint of the database refuses. */
interface Contradiction {
  /** Finds rows by the ids of changed rows, which `$N` stands for, and has one column, `name`. */
  readonly find: string;
  readonly says: (name: string) => string;
}

/** The tables whose ids are the parameters, from $1. */
const PARAMETERS = [
  'users',
  'namespaces',
  'projects',
  'access_tokens',
  'deploy_tokens',
  'job_tokens',
  'federated_identities',
] as const satisfies readonly TableName[];

const LAST_NAME = (column: string): string => `substring(${column} FROM '[^/]+$')`;

const CONTRADICTIONS: readonly Contradiction[] = [
  {
    find: `SELECT project.path AS name FROM projects AS project JOIN namespaces AS above ON above.id = project.namespace_id
      WHERE (project.id = ANY ($3::bigint[]) OR above.id = ANY ($2::bigint[]))
        AND project.path <> above.path || '/' || ${LAST_NAME('project.path')}`,
    says: (name) => `the project ${name} would be below a group or user of another path`,
  },
  {
    find: `SELECT child.path AS name FROM namespaces AS child LEFT JOIN namespaces AS above ON above.id = child.parent_id
      WHERE (child.id = ANY ($2::bigint[]) OR above.id = ANY ($2::bigint[]))
        AND (child.path <> coalesce(above.path || '/', '') || ${LAST_NAME('child.path')}
          OR child.traversal_ids <> coalesce(above.traversal_ids, '{}') || child.id
          OR child.organization_id <> above.organization_id)`,
    says: (name) => `the group ${name} would be below a group of another path or organization`,
  },
  {
    find: `SELECT place.path AS name FROM namespaces AS place JOIN users AS owner ON owner.id = place.owner_id
      WHERE (place.id = ANY ($2::bigint[]) OR owner.id = ANY ($1::bigint[]))
        AND (place.path <> owner.username OR place.organization_id <> owner.organization_id)`,
    says: (name) => `the projects of the user ${name} would have another path or organization`,
  },
  {
    find: `SELECT project.path AS name FROM projects AS project JOIN namespaces AS place USING (path_key)
      WHERE project.id = ANY ($3::bigint[]) OR place.id = ANY ($2::bigint[])`,
    says: (name) => `${name} would be the path of a group and of a project`,
  },
  {
    find: `SELECT bot.username AS name FROM (
        SELECT user_id, project_id, group_id FROM access_tokens WHERE kind <> 'personal'
        UNION ALL SELECT user_id, project_id, group_id FROM federated_identities WHERE kind <> 'account') AS owned
      JOIN users AS bot ON bot.id = owned.user_id
      LEFT JOIN projects AS project ON project.id = owned.project_id
      JOIN namespaces AS place ON place.id = coalesce(owned.group_id, project.namespace_id)
      WHERE (bot.id = ANY ($1::bigint[]) OR project.id = ANY ($3::bigint[]) OR place.id = ANY ($2::bigint[]))
        AND bot.organization_id <> place.organization_id`,
    says: (name) => `the bot ${name} would be in another organization than its project or group`,
  },
  {
    find: `SELECT identity.name FROM federated_identities AS identity JOIN users AS account ON account.id = identity.user_id
      WHERE (identity.id = ANY ($7::bigint[]) OR account.id = ANY ($1::bigint[]))
        AND identity.kind = 'account' AND account.kind <> 'service_account'`,
    says: (name) => `the account of the identity ${name} would be a person`,
  },
  {
    find: `WITH secrets AS (
        SELECT token_digest FROM access_tokens WHERE id = ANY ($4::bigint[])
        UNION SELECT token_digest FROM deploy_tokens WHERE id = ANY ($5::bigint[])
        UNION SELECT token_digest FROM job_tokens WHERE id = ANY ($6::bigint[]))
      SELECT min(id) AS name FROM (
        SELECT 'access-' || id AS id, token_digest FROM access_tokens
        UNION ALL SELECT 'deploy-' || id, token_digest FROM deploy_tokens
        UNION ALL SELECT 'job-' || id, token_digest FROM job_tokens) AS tokens
      WHERE token_digest IN (SELECT token_digest FROM secrets) GROUP BY token_digest HAVING count(*) > 1`,
    says: (name) => `${name} and another token would have one secret`,
  },
];

/** The members are no parameter of the others: they have no ids. */
const MEMBERS_OF_NOTHING = `
  SELECT given.source_type AS name
  FROM jsonb_to_recordset($1::jsonb) AS given (user_id bigint, source_type text, source_id bigint)
  JOIN members USING (user_id, source_type, source_id)
  WHERE NOT EXISTS (SELECT FROM namespaces WHERE id = source_id AND source_type = 'Namespace')
    AND NOT EXISTS (SELECT FROM projects WHERE id = source_id AND source_type = 'Project')
  LIMIT 1`;

/**
 * What is wrong with rows that were written without a plan, as a sentence that goes on after a
 * colon; null: nothing. Looks only at what the rows and those that refer to them are about.
 */
export async function findContradiction(sql: Sql, tables: ChangedTables): Promise<string | null> {
  const parameters = PARAMETERS.map((table) => {
    const { before, after } = tables[table];
    return [...new Set([...before.values(), ...after.values()].map(({ id }) => id))];
  });
  for (const { find, says } of CONTRADICTIONS) {
    // Each statement has all parameters; the condition gives a type to those that it does not use.
    const types = PARAMETERS.map((_, at) => `$${at + 1}::bigint[]`).join(', ');
    const [found] = await sql.query<Row & { readonly name: string }>(
      `SELECT name FROM (${find}) AS found WHERE num_nulls(${types}) = 0 LIMIT 1`,
      parameters,
    );
    if (found !== undefined) return says(found.name);
  }
  const members = [...tables.members.before.values(), ...tables.members.after.values()];
  const lost = await sql.query(MEMBERS_OF_NOTHING, [JSON.stringify(members)]);
  return lost.length === 0 ? null : 'a group or project of which a user would be a member is gone';
}
