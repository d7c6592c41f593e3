/**
 * Signing keys and their certificate authority. Private halves are compact JWEs, encrypted with
 * master.key. cellpass renews the leaf certificate of a key, but a key never changes. The id of a
 * CA is its subject key identifier. An imported key has no CA, and an imported certificate or none.
 */
export const sql = `
CREATE TABLE certificate_authorities (
  id text PRIMARY KEY,
  certificate_pem text NOT NULL,
  encrypted_private_key text NOT NULL,
  created_at timestamptz NOT NULL,
  not_after timestamptz NOT NULL
);

CREATE TABLE signing_keys (
  kid text PRIMARY KEY,
  thumbprint text NOT NULL UNIQUE,
  state text NOT NULL CHECK (state IN ('pending', 'active', 'retired', 'revoked')),
  public_jwk jsonb NOT NULL,
  encrypted_private_key text,
  certificate_authority_id text REFERENCES certificate_authorities,
  certificate_pem text,
  certificate_not_before timestamptz,
  certificate_not_after timestamptz,
  created_at timestamptz NOT NULL,
  activated_at timestamptz,
  retired_at timestamptz,
  published_until timestamptz,
  CHECK ((state IN ('pending', 'active')) = (encrypted_private_key IS NOT NULL)),
  CHECK ((certificate_pem IS NULL) = (certificate_not_before IS NULL)),
  CHECK ((certificate_pem IS NULL) = (certificate_not_after IS NULL)),
  CHECK (certificate_authority_id IS NULL OR certificate_pem IS NOT NULL)
);
CREATE UNIQUE INDEX one_active_key ON signing_keys (state) WHERE state = 'active';
`;
