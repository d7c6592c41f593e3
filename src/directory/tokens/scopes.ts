/**
 * The scopes that GitLab's tokens may have. Only a few touch the registry (`policy/ability.ts`); a token that is to do something else
 * as well, elsewhere, may name them. A document may name any, because it repeats what is there already; a new token with a scope that
 * nobody knows is a slip.
 */
export const ACCESS_TOKEN_SCOPES: readonly string[] = [
  'api',
  'read_api',
  'read_registry',
  'write_registry',
  'read_repository',
  'write_repository',
  'read_user',
  'read_virtual_registry',
  'write_virtual_registry',
  'create_runner',
  'manage_runner',
  'k8s_proxy',
  'ai_features',
  'self_rotate',
  'read_service_ping',
  'sudo',
  'admin_mode',
];

export const DEPLOY_TOKEN_SCOPES: readonly string[] = [
  'read_registry',
  'write_registry',
  'read_repository',
  'read_package_registry',
  'write_package_registry',
  'read_virtual_registry',
  'write_virtual_registry',
];
