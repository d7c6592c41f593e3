import type { Middleware } from 'koa';
import type { Keyring } from '../keys/keyring.ts';

/**
 * The JWK Set, from memory. A verifier may cache it for half of the time for which a key is
 * published before it signs.
 */
export function jwkSet(keyring: Pick<Keyring, 'published'>, propagationSeconds: number): Middleware {
  const cacheControl = `public, max-age=${Math.floor(propagationSeconds / 2)}`;
  return (ctx) => {
    const { body, etag } = keyring.published();
    ctx.set('Cache-Control', cacheControl);
    ctx.set('ETag', etag);
    ctx.status = 200;
    if (ctx.fresh) {
      ctx.status = 304;
      return;
    }
    ctx.type = 'application/json';
    ctx.body = body;
  };
}

/** The CA certificates as PEM, for a registry's `rootcertbundle`. */
export function tokenCa(keyring: Pick<Keyring, 'caPem'>): Middleware {
  return (ctx) => {
    ctx.set('Cache-Control', 'public, max-age=300');
    ctx.type = 'application/x-pem-file';
    ctx.body = keyring.caPem();
  };
}
