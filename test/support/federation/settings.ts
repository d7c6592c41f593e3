import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { AUDIENCE, type MemoryIssuer } from './issuer.ts';

/** A settings file with a section `federation` for issuers in memory. */
export interface FederationFile {
  readonly environment: Readonly<Record<string, string>>;
  remove(): void;
}

export function writeFederation(
  issuers: readonly MemoryIssuer[],
  more: { readonly federation?: object; readonly settings?: object } = {},
): FederationFile {
  const folder = mkdtempSync(join(tmpdir(), 'cellpass-federation-'));
  const file = join(folder, 'cellpass.yaml');
  const entries = issuers.map(({ settings: { name, issuer, audience, mustPin, keys, algorithms } }) => [
    name,
    {
      issuer,
      must_pin: mustPin,
      jwks_uri: keys.jwksUri,
      algorithms,
      ...(audience !== AUDIENCE && { audience }),
    },
  ]);
  const federation = { audience: AUDIENCE, issuers: Object.fromEntries(entries), ...more.federation };
  writeFileSync(file, stringify({ federation, ...more.settings }));
  return {
    environment: { CELLPASS_CONFIG: file },
    remove: () => rmSync(folder, { recursive: true }),
  };
}
