import type { ServiceSettings } from '../config/services.ts';

/** The lines that a registry's operator copies; `bundle` is what `keys export-ca` wrote, `jwks` what `keys export-jwks` wrote. */
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
