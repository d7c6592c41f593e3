/**
 * Returns the records of credentials as `json` instead of `jsonb`, which PostgreSQL would sort and
 * pack only to print it again, and adds the ids that find a credential's owner in the same
 * statement.
 */
export const sql = `
DROP VIEW access_token_records, deploy_token_records, job_token_records, accounts;

CREATE VIEW accounts AS
  SELECT id, username_key, email_key, json_build_object('id', id, 'username', username, 'kind', kind, 'state', state,
    'admin', admin, 'auditor', auditor, 'external', external, 'twoFactor', two_factor,
    'passwordExpired', password_expired, 'passwordHash', password_hash) AS account
  FROM users;

CREATE VIEW access_token_records AS
  SELECT token.id, token.user_id, token.token_digest, json_build_object('id', token.id, 'name', token.name, 'scopes', token.scopes,
    'expiresOn', token.expires_at, 'revoked', token.revoked, 'owner', account.account) AS record
  FROM access_tokens AS token JOIN accounts AS account ON account.id = token.user_id;

CREATE VIEW deploy_token_records AS
  SELECT id, username, token_digest, json_build_object('id', id, 'username', username, 'scopes', scopes,
    'expiresAt', expires_at, 'revoked', revoked) AS record
  FROM deploy_tokens;

CREATE VIEW job_token_records AS
  SELECT job.id, job.user_id, job.project_id, job.token_digest, json_build_object('id', job.id, 'projectId', project.id,
    'projectPath', project.path_key, 'running', job.running, 'expiresAt', job.expires_at, 'ciEnabled', project.ci_enabled,
    'deletionScheduled', project.deletion_scheduled, 'user', account.account) AS record
  FROM job_tokens AS job
  JOIN projects AS project ON project.id = job.project_id
  LEFT JOIN accounts AS account ON account.id = job.user_id;
`;
