import type { Middleware } from 'koa';
import { parseAddress } from '../../addresses.ts';
import { CellpassError } from '../../errors.ts';
import type { LockoutPlace, LockoutQuestion, StoredLockout } from '../../store/records/lockouts.ts';
import { readJson } from '../body.ts';
import { toClientAddress, toNetwork } from '../client-address.ts';
import type { Contract } from '../contract.ts';
import type { ClearedLockoutsView, LockoutPageView, LockoutView } from '../types.ts';
import { adminOf } from './identify.ts';
import { USUAL_PAGE } from './parameters.ts';

/** What to clear, and who does it. */
type Clearing = { readonly actor: string } & (
  | { readonly address: string; readonly account?: undefined }
  | { readonly account: string; readonly address?: undefined }
);

export interface LockoutResource {
  list(
    question: Pick<LockoutQuestion, 'after' | 'limit'>,
  ): Promise<{ readonly lockouts: readonly StoredLockout[]; readonly next: LockoutPlace | null }>;
  /** Names of accounts by the digests of `loginDigest`; a digest of no account is missing. */
  namesOf(digests: ReadonlySet<string>): Promise<ReadonlyMap<string, string>>;
  /** The name as it is stored; null: there is no such account. */
  findAccount(name: string): Promise<string | null>;
  /** @returns how many lockouts ended. */
  clear(clearing: Clearing): Promise<number>;
}

/** Lists who is locked out now. A login name that is no account's is never shown. */
export function listLockouts(contract: Contract, resource: LockoutResource): Middleware {
  const parameters = contract.parametersOf('listLockouts');
  return async (ctx) => {
    const { after, limit = USUAL_PAGE } = parameters(ctx).query ?? {};
    const place = after === undefined ? null : readPlace(after);
    const { lockouts, next } = await resource.list({ after: place, limit });
    const digests = new Set(lockouts.flatMap(({ loginDigest }) => loginDigest ?? []));
    const names = digests.size === 0 ? new Map<string, string>() : await resource.namesOf(digests);
    ctx.body = {
      lockouts: lockouts.map((lockout) => toView(lockout, names)),
      ...(next && { next: `${next.untilMs}-${next.skip}` }),
    } satisfies LockoutPageView;
  };
}

/** @param text which the contract has checked. */
function readPlace(text: string): LockoutPlace {
  const [untilMs, skip] = text.split('-').map(Number);
  return { untilMs: untilMs ?? 0, skip: skip ?? 0 };
}

function toView(
  { by, network, loginDigest, failed, until }: StoredLockout,
  names: ReadonlyMap<string, string>,
): LockoutView {
  const account = loginDigest === null ? undefined : names.get(loginDigest);
  return {
    by,
    address: network,
    ...(account !== undefined && { account }),
    failed,
    until: until.toISOString(),
  };
}

/** Lets an address, or an account from everywhere, try again at once. */
export function clearLockouts(contract: Contract, resource: LockoutResource): Middleware {
  return async (ctx) => {
    const { address, account } = contract.parseClearLockouts(await readJson(ctx.req));
    const target =
      account === undefined
        ? { address: readNetwork(address ?? '') }
        : { account: await knownAccount(resource, account) };
    const cleared = await resource.clear({ ...target, actor: adminOf(ctx).actor });
    ctx.body = { cleared, ...target } satisfies ClearedLockoutsView;
  };
}

/** The network that attempts from this address count for. The list shows networks, so it takes them. */
function readNetwork(text: string): string {
  const [host = '', bits] = text.split('/');
  const network = toNetwork(toClientAddress(host));
  if (parseAddress(host) !== null && (bits === undefined || network.endsWith(`/${bits}`))) return network;
  throw new CellpassError(
    'invalid',
    'address must be an IP address, or an address as the list of lockouts shows it, such as 2001:db8::/64',
  );
}

async function knownAccount(resource: LockoutResource, name: string): Promise<string> {
  const account = await resource.findAccount(name);
  if (account !== null) return account;
  throw new CellpassError(
    'not_found',
    `there is no user "${name}": give the name of a user, or the address to clear`,
  );
}
