import type { Sql } from '../../store/database/drivers.ts';
import type { ListedToken } from '../../store/directory/tokens.ts';
import { type NewRow, recordChange } from '../../store/history/history.ts';
import type { Plain } from '../export/names.ts';
import type { Authorship } from '../history/record.ts';
import { changesOfSides, HIDDEN } from '../preview/field-changes.ts';
import { subjectsOf } from '../preview/subjects.ts';

/**
 * Records in the history that a token was created, which an undo can take back.
 * @param rows what was written for it.
 */
export function recordMint(
  sql: Sql,
  token: ListedToken,
  rows: readonly NewRow[],
  author: Authorship,
): Promise<number> {
  const after = { ...fieldsOf(token), token: HIDDEN };
  return recordToken(sql, token, { before: null, after, rows }, author);
}

/** Records in the history that a token was revoked. Without rows, so that no undo takes it back. */
export function recordRevocation(sql: Sql, token: ListedToken, author: Authorship): Promise<number> {
  const sides = { before: { revoked: false }, after: { revoked: true } };
  return recordToken(sql, token, { ...sides, rows: [] }, author);
}

interface TokenChange {
  readonly before: Plain | null;
  readonly after: Plain;
  readonly rows: readonly NewRow[];
}

function recordToken(
  sql: Sql,
  token: ListedToken,
  { before, after, rows }: TokenChange,
  author: Authorship,
): Promise<number> {
  const isDeploy = token.kind === 'deploy';
  const section = isDeploy ? 'deploy_tokens' : 'access_tokens';
  const name = (isDeploy ? token.username : token.name) ?? '';
  const fields = changesOfSides(before, after);
  const subjects = subjectsOf({ section, name, fields }, name, fieldsOf(token));
  return recordChange(sql, { ...author, entries: [{ section, name, before, after, subjects }], rows });
}

/** The fields that the token has in a document. */
function fieldsOf({ kind, name, username, projects, group, role, scopes, expiresAt }: ListedToken): Plain {
  const given = {
    deploy: { username, projects: group === null ? projects : null },
    personal: { name, kind, user: username },
    project: { name, kind, project: projects[0] },
    group: { name, kind },
  }[kind];
  const all = { ...given, group, role, scopes, expires_at: expiresAt };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value != null));
}
