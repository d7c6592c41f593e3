import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { z } from 'zod';
import type { Problem } from '../../errors.ts';
import { type DirectoryDocument, documentSchema } from './document.ts';
import { keyOf } from './fields.ts';
import { isNestedTooDeeply } from './nesting.ts';

/** Where in a document: keys of mappings, and places in lists, from 0. */
export type Path = readonly (string | number)[];

export type SectionName = Exclude<keyof DirectoryDocument, 'version' | 'settings'>;

/** What could not be read; so that it isn't reported as missing elsewhere. */
export interface Unreadable {
  readonly sections: ReadonlySet<string>;
  /** `section:name` of entries that were passed over, the name in lower case. */
  readonly names: ReadonlySet<string>;
  /** `section:place` of every entry with a problem. */
  readonly entries: ReadonlySet<string>;
}

export interface ReadDocument {
  /** As much as could be read; null when that is nothing. */
  readonly document: DirectoryDocument | null;
  readonly unreadable: Unreadable;
  readonly problems: readonly Problem[];
  /** Gives a problem its line. */
  readonly locate: (path: Path, message: string) => Problem;
}

const ALL_READABLE: Unreadable = { sections: new Set(), names: new Set(), entries: new Set() };

/** Reads a document and every problem that it shows by itself: YAML, its form, its values. Never throws for what the text holds. */
export function readDocument(text: string): ReadDocument {
  if (isNestedTooDeeply(text)) return unreadable([{ path: '', message: 'is nested too deeply' }]);
  const { document, lines } = parseYaml(text);
  const syntax = syntaxProblems(document, lines);
  // A key given twice leaves the rest readable; whatever else is wrong with the syntax does not.
  if (document.errors.some(({ code }) => code !== 'DUPLICATE_KEY')) return unreadable(syntax);
  const read = toContent(document);
  if ('failure' in read) return unreadable([...syntax, { path: '', message: read.failure }]);
  const locate = createLocator(text);
  return { ...readContent(read.content, syntax, locate), locate };
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
  } as const;
  return { document: parseDocument(text, options), lines };
}

/** Parses again when the first problem comes: the nodes of a large document take ten times the room of its content. */
function createLocator(text: string): ReadDocument['locate'] {
  let parsed: ParsedYaml | undefined;
  return (path, message) => {
    parsed ??= parseYaml(text);
    const { line } = parsed.lines.linePos(findOffset(parsed.document, path));
    return { line, path: printPath(path), message };
  };
}

function unreadable(problems: readonly Problem[]): ReadDocument {
  const locate = (path: Path, message: string): Problem => ({ path: printPath(path), message });
  return { document: null, unreadable: ALL_READABLE, problems, locate };
}

function readContent(
  content: unknown,
  syntax: readonly Problem[],
  locate: ReadDocument['locate'],
): Omit<ReadDocument, 'locate'> {
  const strict = documentSchema('strict').safeParse(content);
  if (strict.success) return { document: strict.data, unreadable: ALL_READABLE, problems: syntax };
  const { issues } = strict.error;
  const problems = issues
    .flatMap((issue) => explainIssue(issue, content))
    .map(({ path, message }) => locate(path, message));
  const lenient = documentSchema('lenient').safeParse(content);
  const document = lenient.success ? lenient.data : null;
  return {
    document,
    unreadable: document === null ? ALL_READABLE : findUnreadable(content, document, issues),
    problems: [...syntax, ...problems],
  };
}

/** Aliases that multiply, or that name no anchor, end in a ReferenceError. */
function toContent(document: Document.Parsed): { readonly content: unknown } | { readonly failure: string } {
  try {
    return { content: document.toJS() };
  } catch (error) {
    if (error instanceof ReferenceError) return { failure: `aliases: ${error.message}` };
    throw error;
  }
}

function syntaxProblems(document: Document.Parsed, lines: LineCounter): readonly Problem[] {
  return [...document.errors, ...document.warnings].map(({ code, message, pos }) => ({
    line: lines.linePos(pos[0]).line,
    path: '',
    message: SYNTAX_MESSAGES[code] ?? message,
  }));
}

/** Where the parser's own words would not help. */
const SYNTAX_MESSAGES: Readonly<Record<string, string>> = {
  DUPLICATE_KEY: 'this key is given twice in one mapping',
  MULTIPLE_DOCS: 'there must be one document only',
};

/** The nearest place that exists: the key of the field, the entry, or the section. */
function findOffset(document: Document.Parsed, path: Path): number {
  let node: unknown = document.contents;
  let offset = 0;
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(step));
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

/** `groups[0].members[2].role` */
export function printPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}

type Issue = z.core.$ZodIssue;

export function explainIssue(
  issue: Issue,
  content: unknown,
): readonly { readonly path: Path; readonly message: string }[] {
  const path = toPath(issue.path);
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ path: [...path, key], message: 'is not known here' }));
  }
  return [{ path, message: toMessage(issue, valueAt(content, path)) }];
}

function toMessage(issue: Issue, value: unknown): string {
  if (value === undefined) return 'is missing';
  if (issue.code === 'invalid_value' && issue.values.length > 1)
    return `must be one of: ${issue.values.join(', ')}`;
  if (issue.code === 'invalid_type' && issue.expected === 'object') return 'must be a mapping';
  if (issue.code === 'too_big' && issue.origin === 'string')
    return `must have at most ${issue.maximum} characters`;
  return issue.message;
}

function toPath(path: readonly PropertyKey[]): Path {
  return path.map((step) => (typeof step === 'symbol' ? String(step) : step));
}

function valueAt(content: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (isRecord(value) ? value[step] : undefined), content);
}

function isRecord(value: unknown): value is Record<string | number, unknown> {
  return typeof value === 'object' && value !== null;
}

function findUnreadable(content: unknown, document: DirectoryDocument, issues: readonly Issue[]): Unreadable {
  const sections = new Set<string>();
  const names = new Set<string>();
  for (const [section, list] of Object.entries(isRecord(content) ? content : {})) {
    if (!isSection(section)) continue;
    if (!Array.isArray(list)) sections.add(section);
    const read = new Set(document[section]?.map(({ at }) => at));
    for (const [at, entry] of Array.isArray(list) ? list.entries() : []) {
      if (!read.has(at)) names.add(`${section}:${keyOf(nameOf(entry))}`);
    }
  }
  const entries = issues.map(({ path: [section, at] }) => `${String(section)}:${String(at)}`);
  return { sections, names, entries: new Set(entries) };
}

const SECTIONS: readonly SectionName[] = [
  'organizations',
  'users',
  'groups',
  'projects',
  'access_tokens',
  'deploy_tokens',
  'job_tokens',
];

function isSection(name: string): name is SectionName {
  return SECTIONS.some((section) => section === name);
}

function nameOf(entry: unknown): string {
  const name = isRecord(entry) ? (entry['path'] ?? entry['username']) : undefined;
  return typeof name === 'string' ? name : '';
}
