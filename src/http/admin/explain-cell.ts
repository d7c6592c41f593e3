import type { CredentialRecords } from '../../authn/account.ts';
import { type CellView, chooseCell } from '../../cells/choose-cell.ts';
import type { CredentialForm } from '../../cells/credential-form.ts';
import { CellpassError } from '../../errors.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { wrongCell } from '../token/cell.ts';
import type { ExplainedCell } from '../types.ts';

export interface CellResource {
  /** The current view of the cells. */
  cells(): CellView;
  /**
   * What a token says of its place, such as `c:2,o:1,p:101`; null: nothing. Missing: the form of
   * tokens is not known here.
   */
  findRouting?(key: TokenKey): Promise<string | null>;
}

/** Nobody waits, and the administrator takes nobody's share. */
const ADMINISTRATOR = {
  network: 'an administrator',
  isKnown: true,
  gone: () => new AbortController().signal,
};

/**
 * Which cell the real request would meet, by the topology that is in use; undefined where there is
 * one cell.
 * @param records of the credential; null: an anonymous request.
 * @param isAnyToken true: some token of the account, which is not known.
 */
export async function explainCell(
  resource: CellResource,
  { scopes }: Pick<AskedScopes, 'scopes'>,
  records: CredentialRecords | null,
  isAnyToken: boolean,
): Promise<ExplainedCell | undefined> {
  const view = resource.cells();
  const { topology, self } = view;
  if (topology.cells.length === 1 && topology.topologyService === null) return undefined;
  const form = isAnyToken ? null : await formOf(resource, records);
  try {
    // A form that is not known says nothing about where the request belongs.
    const asked = { scopes, form: form ?? ({ kind: 'none' } as const), requester: ADMINISTRATOR };
    const choice = await chooseCell(asked, view);
    if (choice.kind === 'refused') {
      const because = 'the token names a cell that is not in cells.yaml';
      return { self, answers: null, takes_credentials: false, because };
    }
    const { cell, takesCredentials } = choice;
    return {
      self,
      answers: cell.id,
      takes_credentials: form === null ? null : takesCredentials,
      because: [
        cell.id === self
          ? 'this cell answers, and decides as shown here'
          : `cell ${cell.id} answers, by its own directory and not by what is shown here`,
        ...(form === null ? ['whether it takes the token depends on the cell that the token names'] : []),
        ...(form !== null && !takesCredentials
          ? [`${wrongCell(cell).message}, so the client counts as anonymous`]
          : []),
      ].join('; '),
    };
  } catch (error) {
    if (!(error instanceof CellpassError)) throw error;
    return { self, answers: null, takes_credentials: null, because: error.message };
  }
}

/** Null: it is not known here what the secret looks like. */
async function formOf(
  resource: CellResource,
  records: CredentialRecords | null,
): Promise<CredentialForm | null> {
  if (records === null) return { kind: 'none' };
  const { job, accessToken, deployToken } = records;
  if (job !== null) return null;
  if (accessToken === null && deployToken === null) return { kind: 'unroutable' };
  const key: TokenKey =
    accessToken === null
      ? { table: 'deploy', number: deployToken?.id ?? 0 }
      : { table: 'access', number: accessToken.id };
  if (resource.findRouting === undefined) return null;
  const routing = await resource.findRouting(key);
  const cell = /(?:^|,)c:(\d+)(?:,|$)/.exec(routing ?? '')?.[1];
  return cell === undefined ? { kind: 'unroutable' } : { kind: 'routable', cell: BigInt(cell) };
}
