/**
 * The audit record: one row per token. The first level of partitions keeps anonymous tokens, which
 * any client can get, apart from the others, so that they can't displace those. The second level is
 * one partition per day (UTC), so that dropping a table removes old rows. Rows are never changed or
 * deleted; see `store/records/issued-tokens.ts`.
 */
export const sql = `
CREATE TABLE issued_tokens (
  issued_at timestamptz NOT NULL,
  jti uuid NOT NULL,
  kid text NOT NULL,
  subject text NOT NULL,
  auth_type text NOT NULL,
  service text NOT NULL,
  access jsonb NOT NULL,
  address text NOT NULL,
  expires_at timestamptz NOT NULL,
  request_id uuid NOT NULL,
  cell integer NOT NULL,
  -- Partitions can have no other unique key; a batch that is written twice leaves one row each. A token may be given to several requests.
  PRIMARY KEY (jti, issued_at, auth_type, request_id)
) PARTITION BY LIST (auth_type);
CREATE TABLE issued_tokens_anonymous PARTITION OF issued_tokens FOR VALUES IN ('none') PARTITION BY RANGE (issued_at);
CREATE TABLE issued_tokens_known PARTITION OF issued_tokens DEFAULT PARTITION BY RANGE (issued_at);
CREATE INDEX issued_tokens_by_subject ON issued_tokens_known (subject, issued_at);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON issued_tokens FOR EACH ROW EXECUTE FUNCTION refuse_change();
-- Row triggers come to partitions by themselves; these don't.
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON issued_tokens FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON issued_tokens_anonymous FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER no_truncate BEFORE TRUNCATE ON issued_tokens_known FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Changing partitions locks the whole table for a moment. Whoever reads it for long, such as a backup, must not make the writers queue
-- behind this: it gives up soon, and is tried again.
CREATE FUNCTION lock_issued_tokens_partitions() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('lock_timeout', '500ms', true);
  PERFORM pg_advisory_xact_lock(7021006);
END $$;

CREATE FUNCTION create_issued_tokens_partitions(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  partition text;
BEGIN
  PERFORM lock_issued_tokens_partitions();
  FOREACH parent IN ARRAY ARRAY['issued_tokens_known', 'issued_tokens_anonymous'] LOOP
    partition := parent || to_char(day, '_YYYYMMDD');
    CONTINUE WHEN to_regclass(quote_ident(partition)) IS NOT NULL;
    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition, parent,
      day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', partition);
  END LOOP;
END $$;

-- Drops whole days: those before first_day, then the oldest while one kind has more than its bytes, but never today's.
CREATE FUNCTION trim_issued_tokens(today date, first_day date, most_known bigint, most_anonymous bigint)
RETURNS TABLE (parent text, bytes bigint, bytes_today bigint) LANGUAGE plpgsql AS $$
DECLARE
  partition record;
  most bigint;
BEGIN
  PERFORM lock_issued_tokens_partitions();
  FOREACH parent IN ARRAY ARRAY['issued_tokens_known', 'issued_tokens_anonymous'] LOOP
    most := CASE parent WHEN 'issued_tokens_known' THEN most_known ELSE most_anonymous END;
    bytes_today := 0;
    SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) INTO bytes FROM pg_inherits WHERE inhparent = parent::regclass;
    FOR partition IN
      SELECT c.relname AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS day, pg_total_relation_size(c.oid) AS size
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = parent::regclass ORDER BY c.relname
    LOOP
      IF partition.day >= today THEN
        bytes_today := bytes_today + partition.size;
      ELSIF partition.day < first_day OR bytes > most THEN
        EXECUTE format('DROP TABLE %I', partition.name);
        bytes := bytes - partition.size;
      END IF;
    END LOOP;
    RETURN NEXT;
  END LOOP;
END $$;
`;
