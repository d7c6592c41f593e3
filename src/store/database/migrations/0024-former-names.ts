/**
 * The history follows renames. `history_entries.subjects` also has ids, such as users#11, and this
 * table says which names an entry had before: since a change it has another one, or was removed.
 */
export const sql = `
CREATE TABLE former_names (
  section text NOT NULL CHECK (section IN ('users', 'groups', 'projects')),
  -- In lower case, as username_key and path_key.
  name text NOT NULL,
  entry_id bigint NOT NULL,
  -- The last change that took the name away.
  change_id bigint NOT NULL REFERENCES history ON DELETE CASCADE,
  PRIMARY KEY (section, name, entry_id)
);
CREATE INDEX former_names_by_change ON former_names (change_id);
`;
