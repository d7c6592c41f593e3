import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { type Problem, shortProblem } from '../errors.ts';
import { notText } from './utf8.ts';
import { findWrongAlias } from './yaml-aliases.ts';
import { findDuplicateKeys } from './yaml-duplicates.ts';
import { isNestedTooDeeply, MAX_DEPTH } from './yaml-nesting.ts';

/** A place in a file: keys of mappings, and indexes of lists, from 0. */
export type Path = readonly (string | number)[];

export interface YamlFile {
  /** The data, `{}` for an empty file; null when it can't be read, and `problems` says why. */
  readonly content: Readonly<Record<string, unknown>> | null;
  /**
   * Problems of syntax: one where there is no content. Beside a content these are only duplicate keys
   * and unknown tags.
   */
  readonly problems: readonly Problem[];
  /** The line, from 1, of a place, or of the nearest place above it that exists. */
  readonly lineOf: (path: Path) => number;
}

/**
 * Reads a file whose top level is a mapping: the settings file, `cells.yaml`, or a directory
 * document. YAML 1.2, core schema, no merge keys; JSON is YAML. Never throws for what the text
 * holds.
 */
export function readYaml(text: string): YamlFile {
  const binary = notText(text);
  if (binary !== null) return unreadable([{ line: 1, path: '', message: binary }]);
  if (isNestedTooDeeply(text)) {
    return unreadable([{ path: '', message: `has more than ${MAX_DEPTH} levels of nesting` }]);
  }
  const { document, lines } = parseYaml(text);
  const problemAt = (offset: number, message: string): Problem =>
    shortProblem({ line: lines.linePos(offset).line, path: '', message });
  const form = describeForm(document.contents);
  if (form !== 'mapping') return unreadable([problemAt(0, notMapping(form))]);
  const toProblem = ({ code, message, pos }: YAMLError): Problem =>
    problemAt(pos[0], SYNTAX_MESSAGES[code] ?? message);
  // One mistake makes the parser misread what follows it.
  const [error] = document.errors.toSorted((a, b) => a.pos[0] - b.pos[0]);
  if (error !== undefined) return unreadable([toProblem(error)]);
  // With a duplicate key the rest is still readable.
  const duplicates = findDuplicateKeys(document.contents).map((offset) => problemAt(offset, DUPLICATE_KEY));
  const problems = [...document.warnings.map(toProblem), ...duplicates];
  const alias = findWrongAlias(document.contents, text.length);
  if (alias !== undefined) return unreadable([...problems, problemAt(alias.offset, alias.message)]);
  // `findWrongAlias` has bounded the aliases already.
  const content: Record<string, unknown> = document.toJS({ maxAliasCount: -1 }) ?? {};
  return { content, problems, lineOf: createLineFinder(text) };
}

function unreadable(problems: readonly Problem[]): YamlFile {
  return { content: null, problems, lineOf: () => 1 };
}

interface ParsedYaml {
  readonly document: Document.Parsed;
  readonly lines: LineCounter;
}

function parseYaml(text: string): ParsedYaml {
  const lines = new LineCounter();
  const options = {
    lineCounter: lines,
    prettyErrors: false,
    schema: 'core',
    merge: false,
    logLevel: 'error',
    // The parser would compare each key with all others of its mapping; see `findDuplicateKeys`.
    uniqueKeys: false,
  } as const;
  return { document: parseDocument(text, options), lines };
}

/** An empty file is a mapping without entries. */
function describeForm(contents: unknown): 'mapping' | 'list' | 'text' {
  if (contents === null || isMap(contents)) return 'mapping';
  if (isSeq(contents)) return 'list';
  return isScalar(contents) && contents.value === null ? 'mapping' : 'text';
}

function notMapping(form: 'list' | 'text'): string {
  return `must be a YAML mapping with lines such as "name: value", but is ${form === 'list' ? 'a list' : 'plain text'}`;
}

const DUPLICATE_KEY = 'this key is in the mapping twice: remove one of them';
/** The parser's own messages for these would not help. */
const SYNTAX_MESSAGES: Readonly<Record<string, string>> = {
  MULTIPLE_DOCS: 'a second document begins here: remove it, the file must hold only one',
};

/**
 * Parses again for the first problem: the nodes of a large file take ten times the room of its
 * data.
 */
function createLineFinder(text: string): YamlFile['lineOf'] {
  let parsed: ParsedYaml | undefined;
  const pairOf = createPairFinder();
  return (path) => {
    parsed ??= parseYaml(text);
    return parsed.lines.linePos(findOffset(parsed.document, path, pairOf)).line;
  };
}

type PairFinder = (map: YAMLMap, key: string) => Pair | undefined;

/** Indexes each mapping at its first use: a mapping with many keys may have as many problems. */
function createPairFinder(): PairFinder {
  const indexes = new Map<YAMLMap, ReadonlyMap<string, Pair>>();
  return (map, key) => {
    const index = indexes.get(map) ?? indexPairs(map);
    indexes.set(map, index);
    return index.get(key);
  };
}

/** If a key is there twice, the first counts. */
function indexPairs({ items }: YAMLMap): ReadonlyMap<string, Pair> {
  return new Map(
    items
      .toReversed()
      .flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value), pair] as const] : [])),
  );
}

/** The nearest place that exists: the key of the field, the entry, or the section. */
function findOffset(document: Document.Parsed, path: Path, pairOf: PairFinder): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = pairOf(node, String(step));
      if (pair === undefined || !isScalar(pair.key)) break;
      offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step];
      if (!isNode(node)) break;
      offset = node.range?.[0] ?? offset;
    } else break;
  }
  return offset;
}
