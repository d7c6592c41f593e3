/**
 * The scopes of GitLab's tokens. Only a few matter to the registry (`policy/ability.ts`); the
 * others are for tokens that are used elsewhere, too. A document may name any scope, because it
 * describes existing tokens. In a new token an unknown scope is a typing error.
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
