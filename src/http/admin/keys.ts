import type { Middleware } from 'koa';
import { type KeyStore, listKeys as toListing } from '../../keys/key-set.ts';

export function listKeys(store: Pick<KeyStore, 'readKeySet'>): Middleware {
  return async (ctx) => {
    const { keys } = await store.readKeySet();
    ctx.body = toListing(keys);
  };
}
