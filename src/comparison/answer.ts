import { decodeJwt } from 'jose';
import { z } from 'zod';
import type { ClaimSet } from '../token/claims.ts';

/** The parts of an answer to a token request by which cellpass and GitLab Rails are compared. */

/** Actions and facts that a token grants for one name. */
export interface ComparedEntry {
  readonly type: string;
  readonly name: string;
  readonly actions: readonly string[];
  readonly meta: Readonly<Record<string, unknown>>;
}

export interface ComparedToken {
  readonly access: readonly ComparedEntry[];
  readonly authType: string | null;
  readonly aud: string | null;
  readonly sub: string | null;
  /** In seconds. */
  readonly exp: number;
  readonly iat: number | null;
}

/** `token` is null for every answer but a token. */
export interface ComparedAnswer {
  readonly status: number;
  readonly token: ComparedToken | null;
}

const text = z.string().nullish();
/** The claims of a token of Rails, as far as they are compared. */
const claims = z.object({
  access: z
    .array(
      z.object({
        type: z.string(),
        name: z.string(),
        actions: z.array(z.string()),
        meta: z.record(z.string(), z.unknown()).nullish(),
      }),
    )
    .nullish(),
  auth_type: text,
  aud: text,
  sub: text,
  exp: z.number(),
  iat: z.number().nullish(),
});

/**
 * What a token of Rails grants. Its signature does not matter: it came from Rails, and decides
 * nothing here. Null: it can't be read.
 */
export function readToken(jwt: string): ComparedToken | null {
  try {
    const { access, auth_type, aud, sub, exp, iat } = claims.parse(decodeJwt(jwt));
    return {
      access: (access ?? []).map((entry) => ({ ...entry, meta: entry.meta ?? {} })),
      authType: auth_type ?? null,
      aud: aud ?? null,
      sub: sub ?? null,
      exp,
      iat: iat ?? null,
    };
  } catch {
    return null;
  }
}

export function fromClaims({ access, auth_type, aud, sub, exp, iat }: ClaimSet): ComparedToken {
  return {
    access: access.map(({ type, name, actions, meta }) => ({ type, name, actions, meta: { ...meta } })),
    authType: auth_type,
    aud,
    sub,
    exp,
    iat,
  };
}
