/**
 * The audit record in less room, and without an end at midnight.
 *
 * - Indexes belong to each partition. A unique key of the whole table needs the partition's columns,
 *   which made it twice as large.
 * - A row may count several tokens: repeated pulls of one subject.
 * - A partition that has grown large ends early, and the next one begins. So the oldest records of
 *   today can be dropped, and the newest always find room. A partition's name has its first moment.
 * - One replica measures and trims; the others read what it found.
 */
export const sql = `
DROP INDEX issued_tokens_by_subject;
ALTER TABLE issued_tokens DROP CONSTRAINT issued_tokens_pkey;
ALTER TABLE issued_tokens
  -- How many tokens the row counts, itself included; the columns after it are null for one token.
  ADD COLUMN tokens integer NOT NULL DEFAULT 1 CHECK (tokens > 0),
  ADD COLUMN last_jti uuid,
  ADD COLUMN last_issued_at timestamptz;

CREATE FUNCTION index_issued_tokens_partition(partition text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  -- Unique, so that a batch that is written twice leaves one row each. A token may be given to several requests.
  EXECUTE format('CREATE UNIQUE INDEX %I ON %I (jti, request_id)', partition || '_jti', partition);
  EXECUTE format('CREATE INDEX %I ON %I (last_jti) WHERE last_jti IS NOT NULL', partition || '_last_jti', partition);
  IF partition LIKE 'issued_tokens_known%' THEN
    -- Without the time, because PostgreSQL stores equal keys once.
    EXECUTE format('CREATE INDEX %I ON %I (subject)', partition || '_subject', partition);
  END IF;
END $$;
SELECT index_issued_tokens_partition(relname) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent IN ('issued_tokens_known'::regclass, 'issued_tokens_anonymous'::regclass);

-- The first moment of a partition, from its name: parent_YYYYMMDD, or parent_YYYYMMDD_HHMMSS for a later part of a day.
CREATE FUNCTION issued_tokens_partition_start(partition text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS $$
  SELECT make_timestamptz(left(digits, 4)::int, substr(digits, 5, 2)::int, substr(digits, 7, 2)::int,
    substr(digits, 9, 2)::int, substr(digits, 11, 2)::int, substr(digits, 13, 2)::double precision, 'UTC')
  FROM rpad(regexp_replace(partition, '[^0-9]', '', 'g'), 14, '0') AS digits
$$;

CREATE FUNCTION issued_tokens_partitions(of_parent text)
RETURNS TABLE (partition text, starts timestamptz, size bigint) LANGUAGE sql STABLE AS $$
  SELECT relname::text, issued_tokens_partition_start(relname::text), pg_total_relation_size(pg_class.oid)
  FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = of_parent::regclass
$$;

CREATE FUNCTION create_issued_tokens_partition(parent text, partition text, starts timestamptz, ends timestamptz)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', partition, parent, starts, ends);
  EXECUTE format('CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', partition);
  PERFORM index_issued_tokens_partition(partition);
END $$;

CREATE OR REPLACE FUNCTION create_issued_tokens_partitions(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  first_part text;
  ends timestamptz;
BEGIN
  PERFORM lock_issued_tokens_partitions();
  FOREACH parent IN ARRAY ARRAY['issued_tokens_known', 'issued_tokens_anonymous'] LOOP
    first_part := parent || to_char(day, '_YYYYMMDD');
    CONTINUE WHEN to_regclass(quote_ident(first_part)) IS NOT NULL;
    -- The first parts of the day may have been dropped before a late batch came.
    SELECT coalesce(min(starts), (day + 1)::timestamp AT TIME ZONE 'UTC') INTO ends
    FROM issued_tokens_partitions(parent) WHERE starts_with(partition, first_part || '_');
    PERFORM create_issued_tokens_partition(parent, first_part, day::timestamp AT TIME ZONE 'UTC', ends);
  END LOOP;
END $$;

-- Ends the last partition of the day when it takes more than a sixteenth of its kind's bytes, and 128 KB.
CREATE FUNCTION end_large_issued_tokens_partitions(at_time timestamptz, most_known bigint, most_anonymous bigint)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  parent text;
  large record;
  latest timestamptz;
  cut timestamptz;
  ends timestamptz;
BEGIN
  PERFORM lock_issued_tokens_partitions();
  FOREACH parent IN ARRAY ARRAY['issued_tokens_known', 'issued_tokens_anonymous'] LOOP
    SELECT * INTO large FROM issued_tokens_partitions(parent)
    WHERE (starts AT TIME ZONE 'UTC')::date = (at_time AT TIME ZONE 'UTC')::date ORDER BY starts DESC LIMIT 1;
    CONTINUE WHEN large IS NULL;
    CONTINUE WHEN large.size <= greatest(131072, (CASE parent WHEN 'issued_tokens_known' THEN most_known ELSE most_anonymous END) / 16);
    LOCK TABLE issued_tokens IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('SELECT max(issued_at) FROM %I', large.partition) INTO latest;
    cut := date_trunc('second', greatest(latest, at_time)) + interval '1 second';
    ends := ((large.starts AT TIME ZONE 'UTC')::date + 1)::timestamp AT TIME ZONE 'UTC';
    CONTINUE WHEN latest IS NULL OR cut >= ends;
    EXECUTE format('ALTER TABLE %I DETACH PARTITION %I', parent, large.partition);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, large.partition, large.starts, cut);
    PERFORM create_issued_tokens_partition(parent, parent || to_char(cut AT TIME ZONE 'UTC', '_YYYYMMDD_HH24MISS'), cut, ends);
  END LOOP;
END $$;

-- Drops partitions: those of days before first_day, then the oldest while one kind takes more than seven eighths of its bytes, so that
-- the next records find room; never the partition that is being written at that time, nor later ones.
CREATE FUNCTION trim_issued_tokens_partitions(at_time timestamptz, first_day date, most_known bigint, most_anonymous bigint)
RETURNS TABLE (parent text, bytes bigint, bytes_open bigint, bytes_dropped bigint) LANGUAGE plpgsql AS $$
DECLARE
  old record;
  most bigint;
  open_since timestamptz;
BEGIN
  PERFORM lock_issued_tokens_partitions();
  FOREACH parent IN ARRAY ARRAY['issued_tokens_known', 'issued_tokens_anonymous'] LOOP
    most := CASE parent WHEN 'issued_tokens_known' THEN most_known ELSE most_anonymous END;
    bytes_open := 0;
    bytes_dropped := 0;
    SELECT coalesce(sum(size), 0), max(starts) FILTER (WHERE starts <= at_time) INTO bytes, open_since FROM issued_tokens_partitions(parent);
    FOR old IN SELECT * FROM issued_tokens_partitions(parent) ORDER BY starts LOOP
      IF old.starts >= coalesce(open_since, at_time) AND (old.starts AT TIME ZONE 'UTC')::date >= first_day THEN
        bytes_open := bytes_open + old.size;
      ELSIF (old.starts AT TIME ZONE 'UTC')::date < first_day OR bytes > most - most / 8 THEN
        EXECUTE format('DROP TABLE %I', old.partition);
        bytes := bytes - old.size;
        bytes_dropped := bytes_dropped + old.size;
      END IF;
    END LOOP;
    RETURN NEXT;
  END LOOP;
END $$;

-- A replica of the version before calls this one until it is upgraded.
CREATE OR REPLACE FUNCTION trim_issued_tokens(today date, first_day date, most_known bigint, most_anonymous bigint)
RETURNS TABLE (parent text, bytes bigint, bytes_today bigint) LANGUAGE sql AS $$
  SELECT parent, bytes, bytes_open FROM trim_issued_tokens_partitions(clock_timestamp(), first_day, most_known, most_anonymous)
$$;

-- What the last trim found, one row per kind. written_bytes counts since this table exists; the hour is the last whole one.
CREATE TABLE record_sizes (
  parent text PRIMARY KEY,
  bytes bigint NOT NULL,
  bytes_open bigint NOT NULL,
  measured_at timestamptz NOT NULL,
  written_bytes bigint NOT NULL DEFAULT 0,
  hour_began_at timestamptz NOT NULL,
  hour_began_bytes bigint NOT NULL DEFAULT 0,
  bytes_an_hour bigint
);

-- Which work of retention began last when, so that one replica does it and the others skip their turn.
CREATE TABLE retention_turns (task text PRIMARY KEY, began_at timestamptz NOT NULL);
INSERT INTO retention_turns SELECT task, '-infinity' FROM unnest(ARRAY['refusals', 'failed_attempts', 'issued_tokens', 'vacuum']) AS task;

-- How far the clock of each process is ahead of the database's. A crash of the database may lose it.
CREATE UNLOGGED TABLE replica_clocks (
  replica uuid PRIMARY KEY,
  machine text NOT NULL,
  ahead_ms bigint NOT NULL,
  seen_at timestamptz NOT NULL
);
`;
