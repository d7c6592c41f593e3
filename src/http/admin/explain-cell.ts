import type { CredentialRecords } from '../../authn/account.ts';
import { unauthorized } from '../../authn/basic.ts';
import { type CellView, type Choice, chooseCell } from '../../cells/choose-cell.ts';
import type { CredentialForm } from '../../cells/credential-form.ts';
import type { Cell, Topology } from '../../cells/topology.ts';
import { CellpassError, type Reason } from '../../errors.ts';
import type { AskedScopes } from '../../policy/scope.ts';
import type { TokenKey } from '../../store/directory/token-id.ts';
import { type CellChoice, otherCell, wrongCell } from '../token/cell.ts';
import type { ExplainedCell } from '../types.ts';
import { credentialReason } from './explanation.ts';

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
  /** The form of an ID token; null: it is another credential. */
  readonly idToken: CredentialForm | null;
}

/** What the cells make of a request, before a directory is asked. */
interface CellVerdict {
  /** Missing where there is one cell. */
  readonly cell?: ExplainedCell;
  /** The error that the client gets, whatever a directory says; null: none. */
  readonly refusal: CellpassError | null;
  /** The cell that answers and doesn't take the credentials; null: it takes them. */
  readonly droppedBy: Cell | null;
}

/** Nobody waits, and the administrator takes nobody's share. */
const ADMINISTRATOR = {
  network: 'an administrator',
  isKnown: true,
  gone: () => new AbortController().signal,
};

/** Which cell the real request would meet, by the topology that is in use, and what it does there. */
export async function explainCell(
  resource: CellResource,
  { scopes }: Pick<AskedScopes, 'scopes'>,
  credential: ExplainedCredential,
): Promise<CellVerdict> {
  const view = resource.cells();
  const form = await formOf(resource, credential);
  const verdict = await judge(view, scopes, form);
  if (!isSole(view.topology)) return verdict;
  const { refusal, droppedBy } = verdict;
  return { refusal, droppedBy };
}

async function judge(
  view: CellView,
  scopes: AskedScopes['scopes'],
  form: CredentialForm | null,
): Promise<CellVerdict> {
  const { topology, self } = view;
  try {
    const choose = (one: CredentialForm): Promise<Choice> =>
      chooseCell({ scopes, form: one, requester: ADMINISTRATOR }, view);
    // A form that is not known says nothing about where the request belongs.
    const choice = await choose(form ?? { kind: 'none' });
    if (choice.kind === 'refused') return refused(self, choice.reason);
    if (form === null && !(await isDecidedByScopes(choice, choose, topology))) return undecided(self);
    return answered(view, choice, form);
  } catch (error) {
    if (!(error instanceof CellpassError)) throw error;
    const cell = { self, answers: null, takes_credentials: null, because: error.message };
    return { cell, refusal: error, droppedBy: null };
  }
}

/** Whether the same cell answers, whichever cell a token names. */
async function isDecidedByScopes(
  choice: CellChoice,
  choose: (form: CredentialForm) => Promise<Choice>,
  { cells }: Topology,
): Promise<boolean> {
  const other = cells.find(({ legacy }) => !legacy);
  if (other === undefined) return true;
  const chosen = await choose({ kind: 'routable', cell: BigInt(other.id) });
  return chosen.kind !== 'refused' && chosen.cell.id === choice.cell.id;
}

function refused(self: number, reason: Reason): CellVerdict {
  return {
    cell: { self, answers: null, takes_credentials: false, because: credentialReason(reason) },
    // A server that takes ID tokens judges this one itself, and refuses it for its audience.
    refusal: reason === 'audience_unknown' ? null : unauthorized(reason),
    droppedBy: null,
  };
}

function undecided(self: number): CellVerdict {
  const because =
    'which cell answers, and whether it takes the token, depends on the cell that the token names';
  return {
    cell: { self, answers: null, takes_credentials: null, because },
    refusal: null,
    droppedBy: null,
  };
}

function answered(
  { topology, self }: CellView,
  { cell, takesCredentials }: CellChoice,
  form: CredentialForm | null,
): CellVerdict {
  const isHere = cell.id === self;
  const isForwarded = isHere || topology.forwarding;
  const because = [
    isHere
      ? 'this cell answers, and decides as shown here'
      : isForwarded
        ? `cell ${cell.id} answers, by its own directory and not by what is shown here`
        : `cell ${cell.id} answers, and this cell only names it, because forwarding is off`,
    ...(form === null ? ['whether it takes the token depends on the cell that the token names'] : []),
    ...(form !== null && !takesCredentials
      ? [`${wrongCell(cell).message}, so the client counts as anonymous`]
      : []),
  ].join('; ');
  return {
    cell: {
      self,
      answers: cell.id,
      takes_credentials: form === null ? null : takesCredentials,
      because,
    },
    refusal: isForwarded ? null : otherCell(cell),
    droppedBy: form === null || takesCredentials ? null : cell,
  };
}

/** There is nothing to choose. */
function isSole({ cells, topologyService }: Topology): boolean {
  return cells.length === 1 && topologyService === null;
}

/** Null: it is not known here what the secret looks like. */
async function formOf(
  resource: CellResource,
  { records, isAnyToken, idToken }: ExplainedCredential,
): Promise<CredentialForm | null> {
  if (idToken !== null) return idToken;
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
