/**
 * A path of an organization is checked at the end of a transaction, as those of groups and projects
 * are, so that a document may give the path of one organization to another.
 */
export const sql = `
ALTER TABLE organizations DROP CONSTRAINT organizations_path_key_key,
  ADD CONSTRAINT organizations_path_key_key UNIQUE (path_key) DEFERRABLE INITIALLY DEFERRED;
`;
