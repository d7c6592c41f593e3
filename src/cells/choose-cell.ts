import { CellpassError } from '../errors.ts';
import type { ResourceScope } from '../policy/scope.ts';
import type { CredentialForm } from './credential-form.ts';
import { type Cell, findCell, type Topology } from './topology.ts';

/** Of one request: what says where it belongs. Nothing here asks a database. */
export interface Belonging {
  readonly scopes: readonly ResourceScope[];
  readonly form: CredentialForm;
}

/** The cells, as one of them sees them. */
export interface CellView {
  readonly topology: Topology;
  /** The id of this cell. */
  readonly self: number;
  /**
   * The cell of a top-level namespace (lower case); null: no cell claims it.
   * @throws {CellpassError} `unavailable` when that can't be found out.
   */
  cellOf(namespace: string): Cell | null | Promise<Cell | null>;
}

/**
 * Which cell answers, and whether it takes the credentials: those it doesn't take count there as nobody's.
 * `refused`: the credentials are good in no cell.
 */
export type Choice =
  | { readonly kind: 'here' | 'there'; readonly cell: Cell; readonly takesCredentials: boolean }
  | { readonly kind: 'refused'; readonly reason: 'token_damaged' | 'cell_unknown' };

/** Distinct top-level namespaces that may decide together: each may cost a call of the Topology Service. */
const MOST_NAMESPACES = 10;

/**
 * The repository scopes decide, then the token, then it is the legacy cell.
 * @throws {CellpassError} `mixed_cells`; `unavailable` when a namespace can't be looked up.
 */
export async function chooseCell({ scopes, form }: Belonging, view: CellView): Promise<Choice> {
  const { cells } = view.topology;
  if (form.kind === 'damaged') return { kind: 'refused', reason: 'token_damaged' };
  if (form.kind === 'routable' && !cells.some(({ id }) => names(form, id))) {
    return { kind: 'refused', reason: 'cell_unknown' };
  }
  const cell =
    (await cellOfScopes(scopes, view)) ??
    cellOfForm(form, view) ??
    findCell(view.topology, ({ legacy }) => legacy);
  return { kind: cell.id === view.self ? 'here' : 'there', cell, takesCredentials: takes(cell, form) };
}

/** Whoever holds credentials back has read what they name, and has chosen this cell by it. */
function cellOfForm(form: CredentialForm, { topology, self }: CellView): Cell | undefined {
  if (form.kind === 'elsewhere') return findCell(topology, ({ id }) => id === self);
  return topology.cells.find(({ id }) => form.kind === 'routable' && names(form, id));
}

/** The legacy cell takes all but tokens of other cells; every other one only what names it, because nothing else can be routed to it. */
function takes({ id, legacy }: Cell, form: CredentialForm): boolean {
  switch (form.kind) {
    case 'none':
      return true;
    case 'unroutable':
      return legacy;
    case 'routable':
      return names(form, id) && (legacy || !form.isDeployToken);
    case 'elsewhere':
    case 'damaged':
      return false;
  }
}

function names({ cell }: { readonly cell: bigint }, id: number): boolean {
  return cell === BigInt(id);
}

/** Null where the scopes don't say. */
async function cellOfScopes(scopes: readonly ResourceScope[], view: CellView): Promise<Cell | null> {
  const { cells, topologyService } = view.topology;
  const [only] = cells;
  // Nothing to choose from.
  if (cells.length === 1 && topologyService === null) return only ?? null;
  const namespaces = decidingNamespaces(scopes);
  if (namespaces.length > MOST_NAMESPACES) {
    throw new CellpassError(
      'mixed_cells',
      `the scopes are of ${namespaces.length} top-level groups; ask for ${MOST_NAMESPACES} at most in one request`,
    );
  }
  const found = await Promise.all(namespaces.map((namespace) => view.cellOf(namespace)));
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

/** Top-level namespaces of what would be written to, or where that is nothing, of what would be read. */
function decidingNamespaces(scopes: readonly ResourceScope[]): readonly string[] {
  const repositories = scopes.filter(({ type }) => type === 'repository');
  const written = repositories.filter(({ actions }) => actions.some((action) => action !== 'pull'));
  const deciding = written.length > 0 ? written : repositories;
  return [...new Set(deciding.map(({ name }) => name.slice(0, name.indexOf('/'))))];
}
