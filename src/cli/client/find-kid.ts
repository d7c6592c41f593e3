import { type AdminClient, dataOf } from './admin-client.ts';
import { entryWithId } from './short-id.ts';

/**
 * The whole libtrust id of the key that an argument names, by either id or the beginning of one.
 * @throws {CellpassError} `not_found` or `conflict`.
 */
export async function findKid({ api }: AdminClient, id: string): Promise<string> {
  const { keys } = dataOf(await api.GET('/admin/v1/keys'));
  return entryWithId(id, {
    entries: keys,
    idsOf: ({ kid, thumbprint }) => [kid, thumbprint],
    noun: 'key',
    listedBy: 'cellpass keys list',
  }).kid;
}
