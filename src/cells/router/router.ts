import type { SourceBounds } from './sources.ts';

/** The input for the configuration of the registry router. */

/** A public key of a cell, as its JWK Set lists it. */
export interface RouterKey {
  /** RFC 7638, base64url; part of the name of the key's file. */
  readonly thumbprint: string;
  /** SubjectPublicKeyInfo, PEM. */
  readonly pem: string;
}

export interface RouterCell {
  readonly id: number;
  readonly legacy: boolean;
  /** The URL of its issuer without `/jwt/auth`. */
  readonly url: string;
  readonly registryUrl: string;
  /** What its tokens must say in `iss`; null: anything, because it is not known here. */
  readonly issuer: string | null;
  /** Top-level groups and users in lower case. */
  readonly namespaces: readonly string[];
  /** Empty: the router accepts no token of the cell. */
  readonly keys: readonly RouterKey[];
}

export interface RouterSettings {
  /** Exactly one is legacy. */
  readonly cells: readonly RouterCell[];
  /** `address:port`, as HAProxy's `bind` takes it. */
  readonly binds: readonly string[];
  /** PEM with certificate and private key; null: plain http. */
  readonly certificateFile: string | null;
  /** The CAs of registries and issuers, in PEM; `@system-ca`: the system's CAs. */
  readonly caFile: string;
  /** The URL in the challenges, where clients get tokens. */
  readonly realm: string;
  readonly service: string;
  /** True: resolve hosts continuously by DNS; false: only at each start. */
  readonly followDns: boolean;
  readonly sources: SourceBounds;
}

/** The value of the `cell` claim. */
export function nameOf({ id }: Pick<RouterCell, 'id'>): string {
  return `cell-${id}`;
}

/** The path of a key's file, relative to the configuration. */
export function keyFile(cell: Pick<RouterCell, 'id'>, { thumbprint }: RouterKey): string {
  return `keys/${nameOf(cell)}-${thumbprint}.pem`;
}
