import type { Row, Sql } from '../database/drivers.ts';

/** What a change is about, by name and by id, so that the history follows renames. */

/** The names that users, groups and projects lose by the change $1. */
export const INSERT_FORMER_NAMES = `
  INSERT INTO former_names (section, name, entry_id, change_id)
  SELECT DISTINCT named.section, changed.before ->> named.key, (changed.before ->> 'id')::bigint, $1::bigint
  FROM history_rows AS changed
  JOIN (VALUES ('users', 'users', 'username_key'), ('namespaces', 'groups', 'path_key'), ('projects', 'projects', 'path_key'))
    AS named (table_name, section, key) ON named.table_name = changed.table_name
  WHERE changed.change_id = $1 AND changed.before ->> named.key IS DISTINCT FROM changed.after ->> named.key
    AND changed.before IS NOT NULL AND changed.before ->> 'type' IS DISTINCT FROM 'User'
  ON CONFLICT (section, name, entry_id) DO UPDATE SET change_id = excluded.change_id`;

/**
 * The ids, such as `users#11`, of what the relation `subject (place, text)` names.
 * @param former a condition: which former names count.
 */
export const idsOfSubjects = (former: string): string => `
  SELECT subject.place, 'users#' || named.id AS text FROM subject
    JOIN users AS named ON subject.text LIKE 'users:%' AND named.username_key = substr(subject.text, 7)
  UNION SELECT subject.place, 'groups#' || named.id FROM subject
    JOIN namespaces AS named ON subject.text LIKE 'groups:%' AND named.path_key = substr(subject.text, 8) AND named.type = 'Group'
  UNION SELECT subject.place, 'projects#' || named.id FROM subject
    JOIN projects AS named ON subject.text LIKE 'projects:%' AND named.path_key = substr(subject.text, 10)
  UNION SELECT subject.place, former.section || '#' || former.entry_id FROM subject
    JOIN former_names AS former ON former.section = split_part(subject.text, ':', 1)
      AND former.name = substr(subject.text, strpos(subject.text, ':') + 1) AND ${former}`;

/** With its ids, each name that was asked. */
const FIND_SUBJECTS = `
  WITH subject AS (SELECT place, text FROM unnest($1::text[]) WITH ORDINALITY AS asked (text, place))
  SELECT place, array_to_json(array_agg(text)) AS texts
  FROM (SELECT place, text FROM subject UNION ${idsOfSubjects('true')}) AS found GROUP BY place ORDER BY place`;

/** For each subject all that it is called in the history. */
export async function findSubjects(
  sql: Pick<Sql, 'query'>,
  subjects: readonly string[],
): Promise<readonly (readonly string[])[]> {
  if (subjects.length === 0) return [];
  const rows = await sql.query<Row & { readonly texts: readonly string[] }>(FIND_SUBJECTS, [[...subjects]]);
  return rows.map(({ texts }) => texts);
}
