import { CellpassError } from '../errors.ts';
import type { KeyChange, KeySet } from '../keys/key-set.ts';
import { type Act, event } from '../keys/lifecycle.ts';
import type { MasterKey } from '../keys/master-key.ts';

interface Sealed {
  readonly encryptedPrivateKey: string | null;
}

/**
 * Encrypts every private half of `set` anew, from one master key to the other. The answer is the change to make under the key lock; it
 * throws `conflict` if the set has a private half by then that was not in `set`.
 */
export async function rewrapKeySet(
  set: KeySet,
  from: MasterKey,
  to: MasterKey,
  act: Act,
): Promise<(current: KeySet) => KeyChange> {
  const renewed = new Map<string, string>();
  const renew = async (id: string, { encryptedPrivateKey: sealed }: Sealed): Promise<void> => {
    if (sealed !== null) renewed.set(sealed, await to.encrypt(id, await from.decrypt(id, sealed)));
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

function withRenewed<T extends Sealed>(entry: T, renewed: ReadonlyMap<string, string>): T {
  if (entry.encryptedPrivateKey === null) return entry;
  const encryptedPrivateKey = renewed.get(entry.encryptedPrivateKey);
  if (encryptedPrivateKey !== undefined) return { ...entry, encryptedPrivateKey };
  throw new CellpassError('conflict', 'the keys changed meanwhile: try again');
}
