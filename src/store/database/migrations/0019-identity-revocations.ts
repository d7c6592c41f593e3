/**
 * A revocation follows its identity when that gets another name. Its name still counts alone, so
 * that a document that removes an identity and brings it back does not restore it.
 */
export const sql = `
ALTER TABLE revoked_identities DROP CONSTRAINT revoked_identities_pkey;
-- Null: no identity had the name then, or the identities are in the settings.
ALTER TABLE revoked_identities ADD COLUMN identity_id bigint;
CREATE UNIQUE INDEX revoked_identities_once ON revoked_identities (name, coalesce(identity_id, 0));
UPDATE revoked_identities AS revoked SET identity_id = identity.id
  FROM federated_identities AS identity WHERE identity.name = revoked.name;

-- Identities may swap their names, so a revocation of another one stays where it is.
CREATE FUNCTION move_revocation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  WITH moved AS (
    DELETE FROM revoked_identities WHERE name = OLD.name AND (identity_id IS NULL OR identity_id = NEW.id
      OR NOT EXISTS (SELECT FROM federated_identities AS other WHERE other.id = identity_id))
    RETURNING revoked_at)
  INSERT INTO revoked_identities (name, identity_id, revoked_at)
  SELECT NEW.name, NEW.id, min(revoked_at) FROM moved HAVING count(*) > 0
  ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER move_revocation AFTER UPDATE ON federated_identities FOR EACH ROW
  WHEN (OLD.name IS DISTINCT FROM NEW.name) EXECUTE FUNCTION move_revocation();
`;
