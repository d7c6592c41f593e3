/**
 * What a list of tokens shows: the readable parts of a secret, because its digest shows nothing,
 * and when it was last used. `token_routing` has decimal numbers, `c:2,o:1,p:101`. Null: the secret
 * has no such part, or cellpass never saw the secret.
 */
export const sql = `
ALTER TABLE access_tokens
  ADD COLUMN token_prefix text,
  ADD COLUMN token_routing text,
  ADD COLUMN last_used_at timestamptz;

ALTER TABLE deploy_tokens
  ADD COLUMN name text,
  ADD COLUMN token_prefix text,
  ADD COLUMN token_routing text,
  ADD COLUMN last_used_at timestamptz;
`;
