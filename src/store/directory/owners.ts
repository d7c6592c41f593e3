import type { Row, Sql } from '../database/drivers.ts';
import type { UserKind, UserState } from './rows.ts';

/** Looks up the owners of tokens by their names in lower case. */

export interface UserOwner {
  readonly id: number;
  readonly organizationId: number;
  readonly kind: UserKind;
  readonly state: UserState;
}

/** A project or a group. */
export interface PlaceOwner {
  readonly id: number;
  readonly organizationId: number;
}

export async function findUserOwner(sql: Sql, usernameKey: string): Promise<UserOwner | undefined> {
  const [row] = await sql.query<UserOwner & Row>(
    'SELECT id, organization_id AS "organizationId", kind, state FROM users WHERE username_key = $1',
    [usernameKey],
  );
  return row;
}

export async function findProjectOwner(sql: Sql, pathKey: string): Promise<PlaceOwner | undefined> {
  const [row] = await sql.query<PlaceOwner & Row>(
    `SELECT project.id, namespace.organization_id AS "organizationId"
     FROM projects AS project JOIN namespaces AS namespace ON namespace.id = project.namespace_id
     WHERE project.path_key = $1`,
    [pathKey],
  );
  return row;
}

export async function findGroupOwner(sql: Sql, pathKey: string): Promise<PlaceOwner | undefined> {
  const [row] = await sql.query<PlaceOwner & Row>(
    `SELECT id, organization_id AS "organizationId" FROM namespaces WHERE type = 'Group' AND path_key = $1`,
    [pathKey],
  );
  return row;
}
