/**
 * A version for each part of the directory that an answer to a token request may rest on, so that a
 * change invalidates only the cached answers that rest on it (docs/adr/0014-versions-of-units.md):
 *
 * - `settings.version`: the settings and all organizations;
 * - `users.version`: the user, its memberships, and the organizations that it owns;
 * - `access_tokens.version`, `deploy_tokens.version` (with the token's projects) and
 *   `job_tokens.version`: the row of one secret;
 * - `group_versions`: a top-level group or personal namespace with everything in it, and with the
 *   names of the groups that are invited into it.
 *
 * Versions are random, not counters: a database that was restored, or that lost its last changes in
 * a failover, must never reuse a version for another state. A version is missing where the row is
 * missing, so no version outlives its row. Nothing changes when a token's last use or the cell is
 * stored.
 *
 * A membership belongs to the user and not to the group, because it concerns answers about that
 * user only, wherever an invitation carries it.
 *
 * `directory_version` stays: during an upgrade, replicas of the version before still read it.
 */
export const sql = `
ALTER TABLE settings ADD COLUMN version uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE users ADD COLUMN version uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE access_tokens ADD COLUMN version uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE deploy_tokens ADD COLUMN version uuid NOT NULL DEFAULT gen_random_uuid();
ALTER TABLE job_tokens ADD COLUMN version uuid NOT NULL DEFAULT gen_random_uuid();

-- Not a column of namespaces: the trigger of that table would then fire itself.
CREATE TABLE group_versions (
  id bigint PRIMARY KEY REFERENCES namespaces ON DELETE CASCADE,
  version uuid NOT NULL DEFAULT gen_random_uuid()
) WITH (fillfactor = 80);
INSERT INTO group_versions (id) SELECT id FROM namespaces WHERE parent_id IS NULL;

CREATE FUNCTION renew_own_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := gen_random_uuid();
  RETURN NEW;
END $$;

-- After a change that may concern every answer.
CREATE FUNCTION renew_settings_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE settings SET version = gen_random_uuid();
  RETURN NULL;
END $$;

-- Arguments: the table of the versions, and a query for their ids, in which %I is the changed rows.
-- The query is planned each time: the plan for one changed row doesn't suit thousands.
CREATE FUNCTION renew_versions() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  changed text := CASE TG_OP
    WHEN 'INSERT' THEN format(TG_ARGV[1], 'new_rows')
    WHEN 'DELETE' THEN format(TG_ARGV[1], 'old_rows')
    ELSE format(TG_ARGV[1], 'old_rows') || ' UNION ' || format(TG_ARGV[1], 'new_rows')
  END;
  ids bigint[];
BEGIN
  EXECUTE format('SELECT array_agg(DISTINCT id) FROM (%s) AS changed (id)', changed) INTO ids;
  CASE TG_ARGV[0]
    WHEN 'users' THEN
      UPDATE users SET version = gen_random_uuid() WHERE id = ANY (ids);
    WHEN 'deploy_tokens' THEN
      UPDATE deploy_tokens SET version = gen_random_uuid() WHERE id = ANY (ids);
    WHEN 'group_versions' THEN
      -- A group that was just deleted has no row to refer to, and needs no version.
      INSERT INTO group_versions (id) SELECT id FROM namespaces WHERE id = ANY (ids)
      ON CONFLICT (id) DO UPDATE SET version = excluded.version;
  END CASE;
  RETURN NULL;
END $$;

DO $$
DECLARE
  watched text;
  columns text;
  ids text;
  versions text;
  operation text;
  rows_before_and_after text;
BEGIN
  FOREACH watched IN ARRAY ARRAY['settings', 'users', 'access_tokens', 'deploy_tokens', 'job_tokens'] LOOP
    SELECT string_agg(quote_ident(column_name), ', ') INTO columns FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = watched
      AND column_name NOT IN ('last_used_at', 'cell_id', 'version');
    EXECUTE format('CREATE TRIGGER renew_own_version BEFORE UPDATE OF %s ON %I
      FOR EACH ROW EXECUTE FUNCTION renew_own_version()', columns, watched);
  END LOOP;

  CREATE TRIGGER renew_settings_version AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON organizations
    FOR EACH STATEMENT EXECUTE FUNCTION renew_settings_version();

  FOR watched, versions, ids IN VALUES
    ('members', 'users', 'SELECT user_id FROM %I'),
    ('organization_users', 'users', 'SELECT user_id FROM %I'),
    ('project_deploy_tokens', 'deploy_tokens', 'SELECT deploy_token_id FROM %I'),
    ('namespaces', 'group_versions', 'SELECT traversal_ids[1] FROM %I'),
    ('projects', 'group_versions',
      'SELECT traversal_ids[1] FROM %I JOIN namespaces ON namespaces.id = namespace_id'),
    ('group_group_links', 'group_versions',
      'SELECT traversal_ids[1] FROM %I JOIN namespaces ON namespaces.id = shared_group_id'),
    ('project_group_links', 'group_versions', NULL),
    ('job_token_project_links', 'group_versions', NULL),
    ('job_token_group_links', 'group_versions', NULL),
    ('protected_repositories', 'group_versions', NULL),
    ('protected_tags', 'group_versions', NULL)
  LOOP
    ids := coalesce(ids, 'SELECT traversal_ids[1] FROM %I
      JOIN projects ON projects.id = project_id JOIN namespaces ON namespaces.id = namespace_id');
    FOR operation, rows_before_and_after IN VALUES
      ('INSERT', 'NEW TABLE AS new_rows'),
      ('UPDATE', 'OLD TABLE AS old_rows NEW TABLE AS new_rows'),
      ('DELETE', 'OLD TABLE AS old_rows')
    LOOP
      EXECUTE format('CREATE TRIGGER %I AFTER %s ON %I REFERENCING %s
        FOR EACH STATEMENT EXECUTE FUNCTION renew_versions(%L, %L)',
        'renew_versions_on_' || lower(operation), operation, watched, rows_before_and_after, versions, ids);
    END LOOP;
    EXECUTE format('CREATE TRIGGER renew_settings_version AFTER TRUNCATE ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION renew_settings_version()', watched);
  END LOOP;
END $$;

-- An answer names the groups that are invited into the groups and projects of the top-level group.
CREATE TRIGGER renew_versions_of_inviting_groups AFTER UPDATE ON namespaces
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
  FOR EACH STATEMENT EXECUTE FUNCTION renew_versions('group_versions', '
    SELECT inviting.traversal_ids[1]
    FROM old_rows JOIN new_rows ON new_rows.id = old_rows.id AND new_rows.path_key <> old_rows.path_key
    CROSS JOIN LATERAL (
      SELECT shared_group_id FROM group_group_links WHERE shared_with_group_id = new_rows.id
      UNION ALL
      SELECT namespace_id FROM project_group_links JOIN projects ON projects.id = project_id WHERE group_id = new_rows.id
    ) AS invitation (namespace_id)
    JOIN namespaces AS inviting ON inviting.id = invitation.namespace_id');
`;
