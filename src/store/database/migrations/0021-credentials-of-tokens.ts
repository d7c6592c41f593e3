/**
 * In the audit record: the credential that a client came with. Null where the column `auth_type`
 * says it already (passwords and anonymous clients), and in rows of older versions. Partitions that
 * exist get no index, because building it would keep their writers waiting.
 */
export const sql = `
ALTER TABLE issued_tokens ADD COLUMN credential text;

CREATE OR REPLACE FUNCTION index_issued_tokens_partition(partition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Unique, so that a batch that is written twice leaves one row each. A token may be given to several requests.
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (jti, request_id)', partition || '_jti', partition);
  EXECUTE format('CREATE INDEX %I ON %I (last_jti) WHERE last_jti IS NOT NULL', partition || '_last_jti', partition);
  IF partition LIKE 'issued_tokens_known%' THEN
    -- Without the time, because PostgreSQL stores equal keys once.
    EXECUTE format('CREATE INDEX %I ON %I (subject)', partition || '_subject', partition);
    EXECUTE format('CREATE INDEX %I ON %I (credential) WHERE credential IS NOT NULL', partition || '_credential', partition);
  END IF;
END $$;
`;
