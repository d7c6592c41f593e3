/**
 * A version of the directory, new with every transaction that changes it, so that a cache can check
 * whether its answers are still valid. It is random, not a counter: a database that was restored,
 * or that lost its last changes in a failover, must never reuse a version for another state.
 *
 * Changes that no cached answer depends on don't change the version: when a token was last used,
 * the cell, and job tokens, which change all the time.
 */
export const sql = `
CREATE TABLE directory_version (
  id boolean PRIMARY KEY DEFAULT true CHECK (id),
  version uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO directory_version DEFAULT VALUES;

CREATE FUNCTION change_directory_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE directory_version SET version = gen_random_uuid();
  RETURN NULL;
END $$;

DO $$
DECLARE
  watched text;
  columns text;
BEGIN
  FOREACH watched IN ARRAY ARRAY['settings', 'organizations', 'users', 'organization_users', 'namespaces', 'projects', 'members',
    'group_group_links', 'project_group_links', 'job_token_project_links', 'job_token_group_links', 'protected_repositories',
    'protected_tags', 'access_tokens', 'deploy_tokens', 'project_deploy_tokens']
  LOOP
    SELECT string_agg(quote_ident(column_name), ', ') INTO columns FROM information_schema.columns
    WHERE table_schema = current_schema() AND table_name = watched AND column_name NOT IN ('last_used_at', 'cell_id');
    EXECUTE format('CREATE TRIGGER change_directory_version AFTER INSERT OR DELETE OR TRUNCATE OR UPDATE OF %s ON %I
      FOR EACH STATEMENT EXECUTE FUNCTION change_directory_version()', columns, watched);
  END LOOP;
END $$;
`;
