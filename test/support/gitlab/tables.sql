-- The tables of GitLab's database that cellpass reads, in their shape (GitLab's db/structure.sql, names and types alone).
-- A line or a statement with "since" is left out for earlier versions, one with "until" for later ones.

CREATE SCHEMA gitlab_partitions_dynamic;

CREATE TABLE application_settings (
  password_authentication_enabled_for_git boolean NOT NULL DEFAULT true,
  maintenance_mode boolean NOT NULL DEFAULT false,
  container_registry_token_expire_delay integer DEFAULT 5,
  email_confirmation_setting smallint DEFAULT 0,
  require_two_factor_authentication boolean DEFAULT false,
  require_admin_two_factor_authentication boolean NOT NULL DEFAULT false,
  sign_in_restrictions jsonb NOT NULL DEFAULT '{}',
  two_factor_grace_period integer DEFAULT 48,
  failed_login_attempts_unlock_period_in_minutes integer,
  disable_personal_access_tokens boolean NOT NULL DEFAULT false,
  enforce_ci_inbound_job_token_scope_enabled boolean NOT NULL DEFAULT true,
  globally_allowed_ips text NOT NULL DEFAULT '',
  external_authorization_service_enabled boolean NOT NULL DEFAULT false,
  encrypted_ci_job_token_signing_key bytea, -- since 17.7
  encrypted_ci_job_token_signing_key_iv bytea, -- since 17.7
  home_page_url character varying,
  id bigserial PRIMARY KEY);

CREATE TABLE organizations (
  name text NOT NULL DEFAULT '',
  path text NOT NULL,
  visibility_level smallint NOT NULL DEFAULT 0,
  state smallint NOT NULL DEFAULT 4, -- since 18.4
  id bigserial PRIMARY KEY);

CREATE TABLE users (
  username character varying,
  email character varying NOT NULL DEFAULT '',
  encrypted_password character varying NOT NULL DEFAULT '',
  state character varying,
  admin boolean NOT NULL DEFAULT false,
  auditor boolean NOT NULL DEFAULT false,
  external boolean DEFAULT false,
  user_type smallint DEFAULT 0,
  locked_at timestamp without time zone,
  failed_attempts integer DEFAULT 0,
  confirmed_at timestamp without time zone,
  confirmation_sent_at timestamp without time zone,
  unconfirmed_email character varying,
  password_expires_at timestamp without time zone,
  password_automatically_set boolean DEFAULT false,
  otp_required_for_login boolean NOT NULL DEFAULT false,
  otp_grace_period_started_at timestamp without time zone,
  require_two_factor_authentication_from_group boolean NOT NULL DEFAULT false,
  two_factor_grace_period integer NOT NULL DEFAULT 48,
  composite_identity_enforced boolean NOT NULL DEFAULT false, -- since 17.9
  managing_group_id bigint,
  last_activity_on date,
  organization_id bigint NOT NULL DEFAULT 1, -- since 18.4
  id bigserial PRIMARY KEY);

CREATE INDEX index_users_on_lower_username ON users (lower(username));
CREATE INDEX index_users_on_lower_email ON users (lower(email));
CREATE INDEX index_users_on_admin ON users (admin);
CREATE INDEX index_users_for_auditors ON users (id) WHERE auditor IS TRUE;

CREATE TABLE user_details (
  bot_namespace_id bigint,
  enterprise_group_id bigint,
  email_otp_required_after timestamp with time zone, -- since 18.4
  user_id bigint PRIMARY KEY);

CREATE TABLE identities (
  extern_uid character varying,
  provider character varying,
  user_id bigint,
  id bigserial PRIMARY KEY);

CREATE INDEX index_identities_on_user_id ON identities (user_id);

CREATE TABLE saml_providers (
  group_id bigint NOT NULL,
  enabled boolean NOT NULL,
  disable_password_authentication_for_enterprise_users boolean DEFAULT false,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_saml_providers_on_group_id ON saml_providers (group_id);

CREATE TABLE webauthn_registrations (
  user_id bigint NOT NULL,
  id bigserial PRIMARY KEY);

CREATE INDEX index_webauthn_registrations_on_user_id ON webauthn_registrations (user_id);

CREATE TABLE namespaces (
  name character varying NOT NULL DEFAULT '',
  path character varying NOT NULL,
  owner_id bigint,
  type character varying NOT NULL DEFAULT 'User',
  share_with_group_lock boolean DEFAULT false,
  visibility_level integer NOT NULL DEFAULT 20,
  parent_id bigint,
  traversal_ids bigint[] NOT NULL DEFAULT '{}',
  organization_id bigint DEFAULT 1,
  state smallint DEFAULT 0, -- since 18.4
  id bigserial PRIMARY KEY);

CREATE INDEX index_namespaces_on_traversal_ids ON namespaces USING gin (traversal_ids);

CREATE TABLE namespace_settings (
  archived boolean NOT NULL DEFAULT false, -- since 17.6
  repository_read_only boolean NOT NULL DEFAULT false,
  disable_personal_access_tokens boolean NOT NULL DEFAULT false,
  namespace_id bigint PRIMARY KEY);

CREATE TABLE group_deletion_schedules (
  user_id bigint NOT NULL DEFAULT 1,
  marked_for_deletion_on date NOT NULL DEFAULT current_date,
  group_id bigint PRIMARY KEY);

CREATE TABLE projects (
  name character varying,
  path character varying,
  namespace_id bigint NOT NULL,
  project_namespace_id bigint,
  visibility_level integer NOT NULL DEFAULT 0,
  archived boolean NOT NULL DEFAULT false,
  pending_delete boolean DEFAULT false,
  marked_for_deletion_at date,
  hidden boolean NOT NULL DEFAULT false,
  organization_id bigint DEFAULT 1,
  id bigserial PRIMARY KEY);

CREATE INDEX index_projects_on_namespace_id_and_id ON projects (namespace_id, id);

CREATE TABLE project_features (
  project_id bigint NOT NULL,
  builds_access_level integer DEFAULT 20,
  repository_access_level integer NOT NULL DEFAULT 20,
  container_registry_access_level integer NOT NULL DEFAULT 0,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_project_features_on_project_id ON project_features (project_id);
CREATE INDEX index_project_features_on_project_id_include_container_registry
  ON project_features (project_id) INCLUDE (container_registry_access_level);

CREATE TABLE project_ci_cd_settings (
  project_id bigint NOT NULL,
  job_token_scope_enabled boolean NOT NULL DEFAULT false,
  inbound_job_token_scope_enabled boolean NOT NULL DEFAULT true,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_project_ci_cd_settings_on_project_id ON project_ci_cd_settings (project_id);

CREATE TABLE routes (
  source_id bigint NOT NULL,
  source_type character varying NOT NULL,
  path character varying NOT NULL,
  name character varying,
  namespace_id bigint,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_routes_on_path ON routes (path);
CREATE UNIQUE INDEX index_routes_on_source_type_and_source_id ON routes (source_type, source_id);
CREATE INDEX index_on_routes_lower_path ON routes (lower(path));

CREATE TABLE project_authorizations (
  user_id bigint NOT NULL,
  project_id bigint NOT NULL,
  access_level integer NOT NULL,
  is_unique boolean,
  PRIMARY KEY (user_id, project_id, access_level));

CREATE UNIQUE INDEX index_project_authorizations_on_project_user_access_level
  ON project_authorizations (project_id, user_id, access_level);

CREATE TABLE organization_users (
  organization_id bigint NOT NULL,
  user_id bigint NOT NULL,
  access_level smallint NOT NULL DEFAULT 10,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_organization_users_on_organization_id_and_user_id ON organization_users (organization_id, user_id);
CREATE INDEX index_organization_users_on_user_id ON organization_users (user_id);

CREATE TABLE personal_access_tokens (
  user_id bigint NOT NULL,
  name character varying NOT NULL,
  revoked boolean DEFAULT false,
  expires_at date,
  created_at timestamp without time zone NOT NULL DEFAULT now(),
  updated_at timestamp without time zone NOT NULL DEFAULT now(),
  scopes character varying NOT NULL DEFAULT E'--- []\n',
  impersonation boolean NOT NULL DEFAULT false,
  token_digest character varying,
  last_used_at timestamp with time zone,
  organization_id bigint NOT NULL DEFAULT 1,
  granular boolean NOT NULL DEFAULT false, -- since 18.4
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_personal_access_tokens_on_token_digest ON personal_access_tokens (token_digest);
CREATE INDEX index_personal_access_tokens_on_user_id ON personal_access_tokens (user_id);

-- since 17.8
CREATE TABLE personal_access_token_last_used_ips (
  personal_access_token_id bigint NOT NULL,
  organization_id bigint NOT NULL,
  created_at timestamp with time zone NOT NULL,
  updated_at timestamp with time zone NOT NULL,
  ip_address inet,
  id bigserial PRIMARY KEY);

CREATE TABLE deploy_tokens (
  revoked boolean DEFAULT false,
  read_repository boolean NOT NULL DEFAULT false,
  read_registry boolean NOT NULL DEFAULT false,
  write_registry boolean NOT NULL DEFAULT false,
  expires_at timestamp with time zone NOT NULL,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  name character varying NOT NULL,
  username character varying,
  token_encrypted character varying(255),
  deploy_token_type smallint NOT NULL DEFAULT 2,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_deploy_tokens_on_token_encrypted ON deploy_tokens (token_encrypted);

CREATE TABLE project_deploy_tokens (
  project_id bigint NOT NULL,
  deploy_token_id bigint NOT NULL,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_project_deploy_tokens_on_project_id_and_deploy_token_id ON project_deploy_tokens (project_id, deploy_token_id);
CREATE INDEX index_project_deploy_tokens_on_deploy_token_id ON project_deploy_tokens (deploy_token_id);

CREATE TABLE group_deploy_tokens (
  group_id bigint NOT NULL,
  deploy_token_id bigint NOT NULL,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_group_deploy_tokens_on_group_and_deploy_token_ids ON group_deploy_tokens (group_id, deploy_token_id);

CREATE TABLE oauth_access_tokens (
  resource_owner_id bigint,
  token character varying NOT NULL,
  expires_in integer DEFAULT 7200,
  revoked_at timestamp without time zone,
  created_at timestamp without time zone NOT NULL DEFAULT now(),
  scopes character varying,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_oauth_access_tokens_on_token ON oauth_access_tokens (token);

CREATE TABLE ip_restrictions (
  group_id bigint NOT NULL,
  range character varying NOT NULL,
  id bigserial PRIMARY KEY);

CREATE INDEX index_ip_restrictions_on_group_id ON ip_restrictions (group_id);

CREATE TABLE namespace_bans (
  namespace_id bigint NOT NULL,
  user_id bigint NOT NULL,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_namespace_bans_on_namespace_id_and_user_id ON namespace_bans (namespace_id, user_id);

CREATE TABLE container_registry_protection_rules (
  project_id bigint NOT NULL,
  repository_path_pattern text NOT NULL,
  minimum_access_level_for_push smallint,
  minimum_access_level_for_delete smallint,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX i_container_protection_unique_project_repository_path_pattern
  ON container_registry_protection_rules (project_id, repository_path_pattern);

-- since 17.7
CREATE TABLE container_registry_protection_tag_rules (
  project_id bigint NOT NULL,
  tag_name_pattern text NOT NULL,
  minimum_access_level_for_push smallint,
  minimum_access_level_for_delete smallint,
  id bigserial PRIMARY KEY,
  CHECK (num_nonnulls(minimum_access_level_for_push, minimum_access_level_for_delete) <> 1));

-- since 17.7
CREATE UNIQUE INDEX unique_protection_tag_rules_project_id_and_tag_name_pattern
  ON container_registry_protection_tag_rules (project_id, tag_name_pattern);

CREATE TABLE container_repositories (
  project_id bigint NOT NULL,
  name character varying NOT NULL,
  created_at timestamp without time zone NOT NULL,
  updated_at timestamp without time zone NOT NULL,
  status smallint,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_container_repositories_on_project_id_and_name ON container_repositories (project_id, name);

CREATE TABLE feature_gates (
  feature_key character varying NOT NULL,
  key character varying NOT NULL,
  value character varying,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_feature_gates_on_feature_key_and_key_and_value ON feature_gates (feature_key, key, value);

CREATE SEQUENCE ci_builds_id_seq;

CREATE TABLE p_ci_builds (
  status character varying,
  type character varying,
  name character varying,
  project_id bigint,
  user_id bigint,
  erased_at timestamp without time zone,
  token_encrypted text,
  timeout integer, -- since 18.4
  scoped_user_id bigint, -- since 18.4
  partition_id bigint NOT NULL,
  id bigint NOT NULL DEFAULT nextval('ci_builds_id_seq'),
  PRIMARY KEY (id, partition_id)) PARTITION BY LIST (partition_id);

CREATE UNIQUE INDEX p_ci_builds_token_encrypted_partition_id_idx ON p_ci_builds (token_encrypted, partition_id) WHERE token_encrypted IS NOT NULL;
CREATE TABLE ci_builds PARTITION OF p_ci_builds FOR VALUES IN (100);
CREATE TABLE gitlab_partitions_dynamic.ci_builds_101 PARTITION OF p_ci_builds FOR VALUES IN (101);
CREATE TABLE gitlab_partitions_dynamic.ci_builds_102 PARTITION OF p_ci_builds FOR VALUES IN (102);

CREATE TABLE ci_job_token_project_scope_links (
  source_project_id bigint NOT NULL,
  target_project_id bigint NOT NULL,
  direction smallint NOT NULL DEFAULT 0,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX ci_job_token_scope_links_source_and_target_project_direction
  ON ci_job_token_project_scope_links (source_project_id, target_project_id, direction);

CREATE TABLE ci_job_token_group_scope_links (
  source_project_id bigint NOT NULL,
  target_group_id bigint NOT NULL,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX i_ci_job_token_group_scope_links_on_source_and_target_project
  ON ci_job_token_group_scope_links (source_project_id, target_group_id);

CREATE TABLE ci_project_mirrors (
  project_id bigint NOT NULL,
  namespace_id bigint NOT NULL,
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_ci_project_mirrors_on_project_id ON ci_project_mirrors (project_id);

CREATE TABLE ci_namespace_mirrors (
  namespace_id bigint NOT NULL,
  traversal_ids bigint[] NOT NULL DEFAULT '{}',
  id bigserial PRIMARY KEY);

CREATE UNIQUE INDEX index_ci_namespace_mirrors_on_namespace_id ON ci_namespace_mirrors (namespace_id);
