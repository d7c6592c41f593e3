/**
 * When and by whom a token was created. Tokens that exist stay without both. The defaults fill the
 * columns also when a replica of the version before, which does not know them, adds a token; such a
 * replica does not say who did it. A change says so with `set_config('cellpass.actor', …, true)`.
 */
export const sql = `
ALTER TABLE access_tokens ADD COLUMN created_at timestamptz, ADD COLUMN created_by text;
ALTER TABLE access_tokens
  ALTER COLUMN created_at SET DEFAULT now(),
  ALTER COLUMN created_by SET DEFAULT nullif(current_setting('cellpass.actor', true), '');

ALTER TABLE deploy_tokens ADD COLUMN created_at timestamptz, ADD COLUMN created_by text;
ALTER TABLE deploy_tokens
  ALTER COLUMN created_at SET DEFAULT now(),
  ALTER COLUMN created_by SET DEFAULT nullif(current_setting('cellpass.actor', true), '');
`;
