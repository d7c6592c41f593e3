import { z } from 'zod';
import { lowerCaseAscii } from '../ascii.ts';
import { explainIssue, IN_WORDS } from '../config/issues.ts';
import { cellId, httpUrl } from '../config/settings.ts';
import { type Path, readYaml } from '../config/yaml.ts';
import { CellpassError, type Problem, printProblems } from '../errors.ts';

/** One cell as the others see it. URLs have no trailing slash. */
export interface Cell {
  readonly id: number;
  /** Exactly one cell is: the one that takes what can't be routed, and answers where nothing says which cell. */
  readonly legacy: boolean;
  /** Its issuer, less `/jwt/auth`. */
  readonly url: string;
  /** Null where no router needs it. */
  readonly registryUrl: string | null;
  /** Top-level groups and users in lower case, each in one cell at most. */
  readonly namespaces: readonly string[];
}

export interface TopologyServiceSettings {
  readonly url: string;
  readonly timeoutMs: number;
}

/** `cells.yaml`: which cells there are, and what belongs to which. */
export interface Topology {
  readonly cells: readonly Cell[];
  /** Asked for namespaces that no cell lists; null: nobody is. */
  readonly topologyService: TopologyServiceSettings | null;
  /** Whether a request for another cell is passed on to it, or answered with its URL. */
  readonly forwarding: boolean;
  /** The registry router's own address, which is probed before a key becomes active; null: there is none. */
  readonly routerUrl: string | null;
}

/** What it takes is added to the 1.8 s of the rest of a request, or the 3 s of another cell, which must answer within 4 s. */
const LONGEST_TIMEOUT_MS = 1000;
const namespace = z
  .string()
  .transform(lowerCaseAscii)
  .pipe(z.string().regex(/^[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*$/, 'must be a top-level group or user'));

const cell = z.strictObject({
  id: cellId,
  legacy: z.boolean().default(false),
  url: httpUrl,
  registry_url: httpUrl.nullish(),
  namespaces: z
    .array(namespace)
    .nullish()
    .transform((list) => list ?? []),
});

const file = z.strictObject({
  cells: z.array(cell).min(1, 'must name at least one cell'),
  topology_service: z
    .strictObject({
      url: httpUrl,
      timeout_ms: z.number().int().min(1).max(LONGEST_TIMEOUT_MS).default(300),
    })
    .nullish(),
  forwarding: z.boolean().default(true),
  router_url: httpUrl.nullish(),
});

type TopologyFile = z.output<typeof file>;

/**
 * @param text YAML, as in `cells.yaml`.
 * @param self the id of this cell, which must be among the cells; null: it is read where no cell is.
 * @throws {CellpassError} `invalid`, with every problem and its line.
 */
export function parseTopology(text: string, self: number | null): Topology {
  const { content, problems: syntax, lineOf } = readYaml(text);
  if (content === null || syntax.length > 0) throw invalid(syntax);
  const locate = ({ path, message }: Contradiction): Problem => ({
    line: lineOf(path),
    path: path.join('.'),
    message,
  });
  const parsed = file.safeParse(content, IN_WORDS);
  if (!parsed.success) {
    throw invalid(parsed.error.issues.flatMap((issue) => explainIssue(issue, content)).map(locate));
  }
  const problems = contradictions(parsed.data, self).map(locate);
  if (problems.length > 0) throw invalid(problems);
  return toTopology(parsed.data);
}

/** Where no file says otherwise: one cell, which takes everything. */
export function soleCell(id: number, url: string): Topology {
  return {
    cells: [{ id, legacy: true, url, registryUrl: null, namespaces: [] }],
    topologyService: null,
    forwarding: false,
    routerUrl: null,
  };
}

/** @throws {Error} when there is none: `parseTopology` has seen to it that there is. */
export function findCell({ cells }: Pick<Topology, 'cells'>, is: (cell: Cell) => boolean): Cell {
  const found = cells.find(is);
  if (found === undefined) throw new Error('no such cell in the topology');
  return found;
}

interface Contradiction {
  readonly path: Path;
  readonly message: string;
}

/** What is right by itself and wrong together. */
function contradictions(
  { cells, topology_service }: TopologyFile,
  self: number | null,
): readonly Contradiction[] {
  const found: Contradiction[] = [];
  const unique = (what: string) => {
    const places = new Map<string, number>();
    return (value: string, at: number, path: Path): void => {
      const other = places.get(value);
      if (other === undefined) places.set(value, at);
      else found.push({ path, message: `${what} ${value} is also that of cells.${other}` });
    };
  };
  const ids = unique('the id');
  const urls = unique('the url');
  const hosts = unique('the host');
  const namespaces = unique('the namespace');
  for (const [at, { id, url, namespaces: list }] of cells.entries()) {
    ids(String(id), at, ['cells', at, 'id']);
    urls(url, at, ['cells', at, 'url']);
    // The Topology Service names a cell by its host.
    if (topology_service != null) hosts(new URL(url).host, at, ['cells', at, 'url']);
    for (const [place, name] of list.entries()) namespaces(name, at, ['cells', at, 'namespaces', place]);
  }
  const legacy = cells.filter((one) => one.legacy).length;
  if (legacy !== 1)
    found.push({ path: ['cells'], message: `exactly one cell must be legacy: true; ${legacy} are` });
  if (self !== null && !cells.some(({ id }) => id === self)) {
    found.push({
      path: ['cells'],
      message: `this cell, ${self}, is not among them: correct CELLPASS_CELL, or add it`,
    });
  }
  return found;
}

function toTopology({ cells, topology_service, forwarding, router_url }: TopologyFile): Topology {
  return {
    cells: cells.map(({ registry_url, ...rest }) => ({ ...rest, registryUrl: registry_url ?? null })),
    topologyService:
      topology_service == null ? null : { url: topology_service.url, timeoutMs: topology_service.timeout_ms },
    forwarding,
    routerUrl: router_url ?? null,
  };
}

function invalid(problems: readonly Problem[]): CellpassError {
  return new CellpassError('invalid', `the topology is wrong: ${printProblems(problems)}`, { problems });
}
