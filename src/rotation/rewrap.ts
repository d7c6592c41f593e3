import { type KeyChange, type KeySet, keysChanged } from '../keys/key-set.ts';
import { type Act, event } from '../keys/lifecycle.ts';
import type { MasterKey } from '../keys/master-key.ts';

interface Encrypted {
  readonly encryptedPrivateKey: string | null;
}

/**
 * Re-encrypts every private half of `set`, from one master key to another. Returns the change to
 * apply under the key lock; it throws `conflict` if the set then contains a private half that is
 * not in `set`.
 */
export async function rewrapKeySet(
  set: KeySet,
  from: MasterKey,
  to: MasterKey,
  act: Act,
): Promise<(current: KeySet) => KeyChange> {
  const renewed = new Map<string, string>();
  const renew = async (id: string, { encryptedPrivateKey: old }: Encrypted): Promise<void> => {
    if (old !== null) renewed.set(old, await to.encrypt(id, await from.decrypt(id, old)));
  };
  for (const authority of set.authorities) await renew(authority.id, authority);
  for (const key of set.keys) await renew(key.kid, key);
  return (current) => ({
    set: {
      authorities: current.authorities.map((authority) => withRenewed(authority, renewed)),
      keys: current.keys.map((key) => withRenewed(key, renewed)),
    },
    events: [event(act, 'rewrap', null)],
  });
}

function withRenewed<T extends Encrypted>(entry: T, renewed: ReadonlyMap<string, string>): T {
  if (entry.encryptedPrivateKey === null) return entry;
  const encryptedPrivateKey = renewed.get(entry.encryptedPrivateKey);
  if (encryptedPrivateKey !== undefined) return { ...entry, encryptedPrivateKey };
  throw keysChanged();
}
