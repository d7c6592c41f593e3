/**
 * Rotation: a CA has states, as keys have; an index (at most one) and a trigger at commit (at least
 * one) guarantee exactly one active key; a notice tells all replicas of every change; an audit
 * record says who changed what.
 */
export const sql = `
ALTER TABLE signing_keys
  ADD COLUMN revoked_at timestamptz,
  ADD COLUMN revocation_reason text,
  ADD COLUMN longest_token_seconds integer NOT NULL DEFAULT 7200,
  ADD CHECK ((state = 'revoked') = (revoked_at IS NOT NULL));

ALTER TABLE certificate_authorities
  ADD COLUMN state text NOT NULL DEFAULT 'active' CHECK (state IN ('pending', 'active', 'retired')),
  ADD COLUMN activated_at timestamptz,
  ADD COLUMN published_until timestamptz,
  ALTER COLUMN encrypted_private_key DROP NOT NULL,
  ADD CHECK ((state = 'retired') = (encrypted_private_key IS NULL));
CREATE UNIQUE INDEX one_active_authority ON certificate_authorities (state) WHERE state = 'active';

CREATE FUNCTION check_one_active_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM signing_keys) AND NOT EXISTS (SELECT FROM signing_keys WHERE state = 'active') THEN
    RAISE EXCEPTION 'exactly one signing key must be active' USING ERRCODE = 'integrity_constraint_violation';
  END IF;
  RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER one_active_key AFTER INSERT OR UPDATE OR DELETE ON signing_keys
  DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION check_one_active_key();

CREATE FUNCTION tell_of_keys() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('cellpass_keys', '');
  RETURN NULL;
END $$;
CREATE TRIGGER tell_of_keys AFTER INSERT OR UPDATE OR DELETE ON signing_keys
  FOR EACH STATEMENT EXECUTE FUNCTION tell_of_keys();
CREATE TRIGGER tell_of_authorities AFTER INSERT OR UPDATE OR DELETE ON certificate_authorities
  FOR EACH STATEMENT EXECUTE FUNCTION tell_of_keys();

CREATE TABLE audit_events (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  happened_at timestamptz NOT NULL,
  actor text NOT NULL,
  area text NOT NULL,
  action text NOT NULL,
  subject text,
  reason text
);
CREATE INDEX audit_events_by_area ON audit_events (area, id);
`;
