/** What the registry router is written from. */

/** A public key of a cell, as its JWK Set lists it. */
export interface RouterKey {
  /** RFC 7638, base64url; it names the key's file. */
  readonly thumbprint: string;
  /** SubjectPublicKeyInfo, PEM. */
  readonly pem: string;
}

export interface RouterCell {
  readonly id: number;
  readonly legacy: boolean;
  /** Its issuer, less `/jwt/auth`. */
  readonly url: string;
  readonly registryUrl: string;
  /** Top-level groups and users in lower case. */
  readonly namespaces: readonly string[];
  /** Empty: none of its tokens is accepted. */
  readonly keys: readonly RouterKey[];
}

export interface RouterSettings {
  /** One of them is legacy. */
  readonly cells: readonly RouterCell[];
  /** `address:port`, as HAProxy's `bind` takes it. */
  readonly binds: readonly string[];
  /** PEM with certificate and private key; null: plain http. */
  readonly certificateFile: string | null;
  /** What the certificates of registries and issuers must be signed by; `@system-ca`: the system's. */
  readonly caFile: string;
  /** Where clients get tokens: it stands in the challenges. */
  readonly realm: string;
  readonly service: string;
  /** Whether to follow the addresses of hosts by DNS, rather than to look them up at each start. */
  readonly followDns: boolean;
}

/** As the `cell` claim names it. */
export function nameOf({ id }: Pick<RouterCell, 'id'>): string {
  return `cell-${id}`;
}

export function keyFile(cell: Pick<RouterCell, 'id'>, { thumbprint }: RouterKey): string {
  return `keys/${nameOf(cell)}-${thumbprint}.pem`;
}
