import { CellpassError } from '../errors.ts';
import type { ResourceScope } from '../policy/scope.ts';
import type { CredentialForm } from './credential-form.ts';
import { type Cell, findCell, type Topology } from './topology.ts';

/** The parts of a request that decide which cell answers it. */
export interface RoutingInput {
  readonly scopes: readonly ResourceScope[];
  readonly form: CredentialForm;
  readonly requester: Requester;
}

/** Whose share of the calls of the Topology Service a request takes. */
export interface Requester {
  /** An IPv4 address, or the network of an IPv6 address. */
  readonly network: string;
  /** Valid credentials came from there a short time ago. */
  readonly isKnown: boolean;
  /** Aborted when no client waits for the answer any more; called only where there is a queue. */
  readonly gone: () => AbortSignal;
}

/** The topology from the point of view of one cell. */
export interface CellView {
  readonly topology: Topology;
  /** The id of this cell. */
  readonly self: number;
  /**
   * The cell of a top-level namespace (lower case); null: no cell claims it.
   * @throws {CellpassError} `unavailable` if the Topology Service doesn't answer.
   */
  cellOf(namespace: string, requester: Requester): Cell | null | Promise<Cell | null>;
}

/**
 * Which cell answers, and whether it accepts the credentials; if it doesn't, it treats the client
 * as having given credentials that it doesn't know. `refused`: no cell accepts the credentials.
 */
export type Choice =
  | { readonly kind: 'here' | 'there'; readonly cell: Cell; readonly takesCredentials: boolean }
  | { readonly kind: 'refused'; readonly reason: 'token_damaged' | 'cell_unknown' | 'audience_unknown' };

/** The most top-level namespaces of one request: each may need a call to the Topology Service. */
const MOST_NAMESPACES = 10;

/**
 * Chooses the cell: the one of the repository scopes, else the one that the token names, else the
 * legacy cell. It doesn't use the database.
 * @throws {CellpassError} `mixed_cells` if the scopes belong to several cells; `unavailable` if a
 * namespace can't be looked up.
 */
export async function chooseCell(
  { scopes, form: given, requester }: RoutingInput,
  view: CellView,
): Promise<Choice> {
  const { cells } = view.topology;
  const form = withoutFederation(given, view.topology);
  if (form.kind === 'damaged') return { kind: 'refused', reason: 'token_damaged' };
  if (form.kind === 'routable' && !cells.some(({ id }) => names(form, id))) {
    return { kind: 'refused', reason: 'cell_unknown' };
  }
  if (form.kind === 'id_token' && !cells.some((cell) => isAddressed(form, cell))) {
    return { kind: 'refused', reason: 'audience_unknown' };
  }
  const cell =
    (await cellOfScopes(scopes, requester, view)) ??
    cellOfForm(form, view) ??
    findCell(view.topology, ({ legacy }) => legacy);
  return { kind: cell.id === view.self ? 'here' : 'there', cell, takesCredentials: takes(cell, form) };
}

/** Where no cell takes ID tokens, one is a password that nobody has. */
function withoutFederation(form: CredentialForm, { cells }: Topology): CredentialForm {
  const isTaken = form.kind !== 'id_token' || cells.some(({ audiences }) => audiences.length > 0);
  return isTaken ? form : { kind: 'unroutable' };
}

/** Another cell that withholds credentials has read the cell that they name, and chose this one. */
function cellOfForm(form: CredentialForm, { topology, self }: CellView): Cell | undefined {
  if (form.kind === 'elsewhere') return findCell(topology, ({ id }) => id === self);
  if (form.kind === 'id_token') {
    const addressed = topology.cells.filter((cell) => isAddressed(form, cell));
    return addressed.find(({ id }) => id === self) ?? addressed[0];
  }
  return topology.cells.find(({ id }) => form.kind === 'routable' && names(form, id));
}

function isAddressed({ audiences }: { readonly audiences: readonly string[] }, cell: Cell): boolean {
  return cell.audiences.some((one) => audiences.includes(one));
}

/**
 * The legacy cell accepts everything but tokens that name another cell. Any other cell accepts only
 * tokens that name it, and any cell only ID tokens of its audience, because other credentials can't be routed to it.
 */
function takes(cell: Cell, form: CredentialForm): boolean {
  const { id, legacy } = cell;
  switch (form.kind) {
    case 'none':
      return true;
    case 'unroutable':
      return legacy;
    case 'routable':
      return names(form, id);
    case 'id_token':
      return isAddressed(form, cell);
    case 'elsewhere':
    case 'damaged':
      return false;
  }
}

function names({ cell }: { readonly cell: bigint }, id: number): boolean {
  return cell === BigInt(id);
}

/** Null if no cell claims the namespaces of the scopes. */
async function cellOfScopes(
  scopes: readonly ResourceScope[],
  requester: Requester,
  view: CellView,
): Promise<Cell | null> {
  const { cells, topologyService } = view.topology;
  const [only] = cells;
  // With a single cell there is nothing to choose.
  if (cells.length === 1 && topologyService === null) return only ?? null;
  const namespaces = decidingNamespaces(scopes);
  if (namespaces.length > MOST_NAMESPACES) {
    throw new CellpassError(
      'mixed_cells',
      `the scopes are of ${namespaces.length} top-level groups; ask for at most ${MOST_NAMESPACES} in one request`,
    );
  }
  const found = await lookUp(namespaces, requester, view);
  const [first, ...others] = new Map(
    found.filter((cell) => cell !== null).map((cell) => [cell.id, cell]),
  ).values();
  if (others.length > 0) {
    throw new CellpassError(
      'mixed_cells',
      'the scopes are of repositories in several cells; ask for those of one cell at a time',
    );
  }
  return first ?? null;
}

/**
 * Strangers ask for one name after the other, so that one request of theirs takes one place, and no
 * further name when nobody waits for the answer any more.
 */
async function lookUp(
  namespaces: readonly string[],
  requester: Requester,
  view: CellView,
): Promise<readonly (Cell | null)[]> {
  if (requester.isKnown) {
    return Promise.all(namespaces.map((namespace) => view.cellOf(namespace, requester)));
  }
  const found: (Cell | null)[] = [];
  for (const namespace of namespaces) {
    if (found.length > 0 && requester.gone().aborted) {
      throw new CellpassError('unavailable', 'the client has gone away', { reason: 'client_gone' });
    }
    found.push(await view.cellOf(namespace, requester));
  }
  return found;
}

/**
 * The top-level namespaces of the repositories to write to; if there are none, of those to read.
 */
function decidingNamespaces(scopes: readonly ResourceScope[]): readonly string[] {
  const repositories = scopes.filter(({ type }) => type === 'repository');
  const written = repositories.filter(({ actions }) => actions.some((action) => action !== 'pull'));
  const deciding = written.length > 0 ? written : repositories;
  return [...new Set(deciding.map(({ name }) => name.slice(0, name.indexOf('/'))))];
}
