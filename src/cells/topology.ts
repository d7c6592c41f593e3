import { z } from 'zod';
import { lowerCaseAscii } from '../ascii.ts';
import { httpUrl } from '../config/http-url.ts';
import { explainIssue, IN_WORDS } from '../config/issues.ts';
import { knownKeysAt } from '../config/known-keys.ts';
import { cellId } from '../config/settings.ts';
import { isUnencrypted } from '../config/unencrypted.ts';
import { type Path, readYaml } from '../config/yaml.ts';
import { type CellpassError, invalidList, type Problem } from '../errors.ts';

/** One cell. URLs have no trailing slash. */
export interface Cell {
  readonly id: number;
  /** True for exactly one cell: it answers requests and accepts credentials that name no cell. */
  readonly legacy: boolean;
  /** The URL of its issuer without `/jwt/auth`. */
  readonly url: string;
  /** Null if there is no registry router. */
  readonly registryUrl: string | null;
  /** What its tokens say in `iss`; null: what the settings of the cell say. */
  readonly issuer: string | null;
  /** Hosts by which the Topology Service names it, in lower case and without a port. */
  readonly topologyHosts: readonly string[];
  /** The claim `aud` of ID tokens that it takes; see docs/keyless.md. */
  readonly audiences: readonly string[];
  /** Top-level groups and users in lower case, each in one cell at most. */
  readonly namespaces: readonly string[];
}

export interface TopologyServiceSettings {
  readonly url: string;
  readonly timeoutMs: number;
  readonly tls: ClientTlsFiles;
}

/** PEM files for TLS. They are read again when they change. */
export interface ClientTlsFiles {
  /** Who may have signed the certificate of the server; null: Node's CAs. */
  readonly caFile: string | null;
  /** The certificate by which this server shows who it is; null: none. */
  readonly certificate: { readonly certFile: string; readonly keyFile: string } | null;
}

/** The content of `cells.yaml`: the cells and their namespaces. */
export interface Topology {
  readonly cells: readonly Cell[];
  /** Looks up namespaces that no cell lists; null: such namespaces belong to no cell. */
  readonly topologyService: TopologyServiceSettings | null;
  /** True: a request for another cell is forwarded; false: the answer contains that cell's URL. */
  readonly forwarding: boolean;
  /**
   * The URL of the registry router, which is probed before a key becomes active; null: no router.
   */
  readonly routerUrl: string | null;
}

/**
 * A client must get its answer within 4 s. The lookup comes before the rest of the request, which
 * may take 1.8 s here or 3 s in another cell.
 */
const LONGEST_TIMEOUT_MS = 1000;
const namespace = z
  .string()
  .transform(lowerCaseAscii)
  .pipe(z.string().regex(/^[a-z0-9]+(?:(?:[.]|_{1,2}|-+)[a-z0-9]+)*$/, 'must be a top-level group or user'));

/** A host, with or without a port, which does not matter. */
const address = z
  .string()
  .refine(
    (text) => hostOf(text) !== null,
    'must be a host such as cell-2.example.com, with or without a port',
  )
  .transform((text) => hostOf(text) ?? text);
const path = z.string().min(1);

const cell = z.strictObject({
  id: cellId,
  legacy: z.boolean().default(false),
  url: httpUrl,
  registry_url: httpUrl.nullish(),
  issuer: z.string().min(1).nullish(),
  audiences: z
    .array(z.string().min(1).max(1024))
    .min(1, 'must not be empty: leave it out for the url')
    .nullish(),
  topology_address: z.preprocess(
    (given) => (typeof given === 'string' ? [given] : given),
    z.array(address).min(1, 'must not be empty: leave it out for the host of the url').nullish(),
  ),
  namespaces: z
    .array(namespace)
    .nullish()
    .transform((list) => list ?? []),
});

const file = z.strictObject({
  /** True: URLs beyond this machine may be http. */
  insecure: z.boolean().default(false),
  cells: z.array(cell).min(1, 'must name at least one cell'),
  topology_service: z
    .strictObject({
      url: httpUrl,
      timeout_ms: z.number().int().min(1).max(LONGEST_TIMEOUT_MS).default(300),
      ca_file: path.nullish(),
      cert_file: path.nullish(),
      key_file: path.nullish(),
    })
    .nullish(),
  forwarding: z.boolean().default(true),
  router_url: httpUrl.nullish(),
});

type TopologyFile = z.output<typeof file>;

/**
 * @param text YAML, as in `cells.yaml`.
 * @param self the id of this cell, which must be among the cells; null: it is read where no cell
 * is.
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
    throw invalid(
      parsed.error.issues
        .flatMap((issue) => explainIssue(issue, content, (path) => knownKeysAt(file, path)))
        .map(locate),
    );
  }
  const problems = [...contradictions(parsed.data, self), ...unencrypted(parsed.data)].map(locate);
  if (problems.length > 0) throw invalid(problems);
  return toTopology(parsed.data);
}

/**
 * The topology without `cells.yaml`: one cell, which accepts everything.
 * @param audiences of ID tokens; none: they are not taken.
 */
export function soleCell(id: number, url: string, audiences: readonly string[] = []): Topology {
  return {
    cells: [
      {
        id,
        legacy: true,
        url,
        registryUrl: null,
        issuer: null,
        audiences,
        topologyHosts: [],
        namespaces: [],
      },
    ],
    topologyService: null,
    forwarding: false,
    routerUrl: null,
  };
}

/** @throws {Error} if no cell matches, which `parseTopology` prevents. */
export function findCell({ cells }: Pick<Topology, 'cells'>, is: (cell: Cell) => boolean): Cell {
  const found = cells.find(is);
  if (found === undefined) throw new Error('no such cell in the topology');
  return found;
}

interface Contradiction {
  readonly path: Path;
  readonly message: string;
}

/** Problems of values that are valid each, but not together. */
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
  const audiences = unique('the audience');
  const hosts = unique('the host');
  const namespaces = unique('the namespace');
  for (const [at, entry] of cells.entries()) {
    const { id, url, topology_address: addresses, namespaces: list } = entry;
    ids(String(id), at, ['cells', at, 'id']);
    urls(new URL(url).href.replace(/\/+$/, ''), at, ['cells', at, 'url']);
    for (const one of new Set(entry.audiences ?? [url]))
      audiences(one, at, ['cells', at, entry.audiences == null ? 'url' : 'audiences']);
    // The Topology Service names a cell by its host.
    if (topology_service != null) {
      const path = ['cells', at, addresses == null ? 'url' : 'topology_address'];
      for (const host of new Set(addresses ?? [hostIn(url)])) hosts(host, at, path);
    }
    for (const [place, name] of list.entries()) namespaces(name, at, ['cells', at, 'namespaces', place]);
  }
  if (
    topology_service != null &&
    (topology_service.cert_file == null) !== (topology_service.key_file == null)
  ) {
    found.push({ path: ['topology_service'], message: 'needs both cert_file and key_file, or neither' });
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

/**
 * Cells send each other passwords, and the router fetches the keys that it trusts, so the operator
 * must allow http explicitly.
 */
function unencrypted({
  insecure,
  cells,
  topology_service,
  router_url,
}: TopologyFile): readonly Contradiction[] {
  if (insecure) return [];
  const urls: readonly (readonly [path: Path, url: string | null | undefined])[] = [
    ...cells.flatMap(
      ({ url, registry_url }, at) =>
        [
          [['cells', at, 'url'], url],
          [['cells', at, 'registry_url'], registry_url],
        ] as const,
    ),
    [['topology_service', 'url'], topology_service?.url],
    [['router_url'], router_url],
  ];
  return urls
    .filter(([, url]) => url != null && isUnencrypted(url))
    .map(([path, url]) => ({
      path,
      message: `${url} is http beyond this machine, so others on the network could read passwords and forge keys: use https, or write insecure: true at the top of the file`,
    }));
}

function toTopology({ cells, topology_service, forwarding, router_url }: TopologyFile): Topology {
  return {
    cells: cells.map(({ registry_url, issuer, audiences, topology_address, ...rest }) => ({
      ...rest,
      audiences: audiences ?? [rest.url],
      registryUrl: registry_url ?? null,
      issuer: issuer ?? null,
      topologyHosts: topology_address ?? [hostIn(rest.url)],
    })),
    topologyService: topology_service == null ? null : toService(topology_service),
    forwarding,
    routerUrl: router_url ?? null,
  };
}

function toService({
  url,
  timeout_ms,
  ca_file,
  cert_file,
  key_file,
}: NonNullable<TopologyFile['topology_service']>): TopologyServiceSettings {
  const hasCertificate = cert_file != null && key_file != null;
  return {
    url,
    timeoutMs: timeout_ms,
    tls: {
      caFile: ca_file ?? null,
      certificate: hasCertificate ? { certFile: cert_file, keyFile: key_file } : null,
    },
  };
}

/** Characters by which a URL has more than a host and a port, or that its parser removes. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: the parser removes them
const BEYOND_HOST = /[/\\?#@%\s\x00-\x1f\x7f]/;

/** 253 characters of a name in DNS, a dot at its end, and a port. */
const LONGEST_ADDRESS = 260;

/**
 * The host of `host` or `host:port`, in lower case and without a dot at its end, which DNS allows;
 * null: it is none.
 */
export function hostOf(text: string): string | null {
  const url = `https://${text}`;
  if (text.length > LONGEST_ADDRESS || BEYOND_HOST.test(text) || !URL.canParse(url)) return null;
  return hostIn(url);
}

function hostIn(url: string): string {
  return withoutDot(new URL(url).hostname);
}

/** A host without the dot that DNS allows at its end, and that no certificate has. */
export function withoutDot(hostname: string): string {
  return hostname.replace(/\.$/, '');
}

function invalid(problems: readonly Problem[]): CellpassError {
  return invalidList('the topology is wrong', problems);
}
