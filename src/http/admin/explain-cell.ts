import type { CredentialRecords } from '../../authn/account.ts';
import { audiencesOf } from '../../authn/federation/id-token.ts';
import { type CellView, chooseCell } from '../../cells/choose-cell.ts';
import type { CredentialForm } from '../../cells/credential-form.ts';
import { CellpassError } from '../../errors.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { wrongCell } from '../token/cell.ts';
import type { ExplainedCell, ExplainedIdToken } from '../types.ts';

export interface CellResource {
  /** The current view of the cells. */
  cells(): CellView;
  /**
   * What a token says of its place, such as `c:2,o:1,p:101`; null: nothing. Missing: the form of
   * tokens is not known here.
   */
  findRouting?(key: TokenKey): Promise<string | null>;
  /** The audience of an issuer's ID tokens, by its name in the settings. */
  audienceOf(issuer: string): string | null;
}

/** The credential of the request that is explained. */
interface ExplainedCredential {
  /** Null: there is no record of it. */
  readonly records: CredentialRecords | null;
  /** Some token of the account, which is not known. */
  readonly isAnyToken: boolean;
  readonly idToken: ExplainedIdToken | null;
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
 */
export async function explainCell(
  resource: CellResource,
  { scopes }: Pick<AskedScopes, 'scopes'>,
  credential: ExplainedCredential,
): Promise<ExplainedCell | undefined> {
  const view = resource.cells();
  const { topology, self } = view;
  if (topology.cells.length === 1 && topology.topologyService === null) return undefined;
  const form = await formOf(resource, credential);
  try {
    // A form that is not known says nothing about where the request belongs.
    const asked = { scopes, form: form ?? ({ kind: 'none' } as const), requester: ADMINISTRATOR };
    const choice = await chooseCell(asked, view);
    if (choice.kind === 'refused') {
      const because =
        choice.reason === 'audience_unknown'
          ? 'no cell in cells.yaml lists the audience of the ID token'
          : 'the token names a cell that is not in cells.yaml';
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
  { records, isAnyToken, idToken }: ExplainedCredential,
): Promise<CredentialForm | null> {
  if (idToken !== null) return { kind: 'id_token', audiences: audiencesOf(idToken.claims) };
  if (isAnyToken) return null;
  if (records === null) return { kind: 'none' };
  const [identity] = records.idToken?.identities ?? [];
  const audience = identity && resource.audienceOf(identity.issuer);
  if (audience) return { kind: 'id_token', audiences: [audience] };
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
