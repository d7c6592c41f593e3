import type { ServiceSettings } from '../config/services.ts';

/**
 * The lines that an operator copies to the registry's configuration, as YAML. The registry trusts
 * the CA that `keys export-ca` writes or, for a service without `x5c`, the keys that `keys
 * export-jwks` writes.
 */
export function registryConfiguration(publicUrl: string, issuer: string, service: ServiceSettings): string {
  const trust = service.x5c
    ? '    rootcertbundle: /etc/cellpass/token-ca.pem   # from: cellpass keys export-ca'
    : '    jwks: /etc/cellpass/jwks.json                # from: cellpass keys export-jwks (distribution 3)';
  return [
    'auth:',
    '  token:',
    `    realm: ${publicUrl}/jwt/auth`,
    `    service: ${service.name}`,
    `    issuer: ${issuer}`,
    trust,
  ].join('\n');
}
