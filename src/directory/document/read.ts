import { explainIssue, IN_WORDS, isRecord } from '../../config/issues.ts';
import { knownKeysAt } from '../../config/known-keys.ts';
import { type Path, readYaml, type YamlFile } from '../../config/yaml.ts';
import { type Problem, shortProblem } from '../../errors.ts';
import { type DirectoryDocument, documentSchema } from './document.ts';
import { keyOf } from './fields.ts';
import { isSection, type SectionName } from './sections.ts';

/** The parts of a document that can't be read. References to them are not reported as well. */
export interface Unreadable {
  readonly sections: ReadonlySet<SectionName>;
  /** `section:name` of entries that were left out, with the name in lower case. */
  readonly names: ReadonlySet<string>;
  /** `section:index` of every entry with a problem. */
  readonly entries: ReadonlySet<string>;
}

export interface ReadDocument {
  /** The readable part; null when nothing is readable. */
  readonly document: DirectoryDocument | null;
  readonly unreadable: Unreadable;
  readonly problems: readonly Problem[];
  /** Makes a problem with its line. */
  readonly locate: (path: Path, message: string) => Problem;
}

const ALL_READABLE: Unreadable = { sections: new Set(), names: new Set(), entries: new Set() };

/**
 * Reads a document, and finds the problems of its syntax, its form and its single values. Never
 * throws for what the text holds.
 */
export function readDocument(text: string): ReadDocument {
  return readContent(readYaml(text));
}

/** As `readDocument`, of what a YAML file holds, or of a document that no file has. */
export function readContent({ content, problems: syntax, lineOf }: YamlFile): ReadDocument {
  const locate = (path: Path, message: string): Problem =>
    shortProblem({ line: lineOf(path), path: printPath(path), message });
  if (content === null) return { document: null, unreadable: ALL_READABLE, problems: syntax, locate };
  const schema = documentSchema('strict');
  const strict = schema.safeParse(content, IN_WORDS);
  if (strict.success) return { document: strict.data, unreadable: ALL_READABLE, problems: syntax, locate };
  const { issues } = strict.error;
  const problems = issues
    .flatMap((issue) => explainIssue(issue, content, (path) => knownKeysAt(schema, path)))
    .map(({ path, message }) => locate(path, message));
  const lenient = documentSchema('lenient').safeParse(content);
  const document = lenient.success ? lenient.data : null;
  const entries = issues.map(({ path: [section, at] }) => `${String(section)}:${String(at)}`);
  return {
    document,
    unreadable: document === null ? ALL_READABLE : findUnreadable(content, document, entries),
    problems: [...syntax, ...problems],
    locate,
  };
}

function findUnreadable(
  content: Readonly<Record<string, unknown>>,
  document: DirectoryDocument,
  entries: readonly string[],
): Unreadable {
  const given = Object.keys(content).filter(isSection);
  const sections = given.filter((section) => !Array.isArray(content[section]));
  const names = given.flatMap((section) =>
    leftOut(content[section], document[section]).map((entry) => `${section}:${keyOf(nameOf(entry))}`),
  );
  return { sections: new Set(sections), names: new Set(names), entries: new Set(entries) };
}

/** Entries of a section that the lenient reading left out. */
function leftOut(list: unknown, read: readonly { readonly at: number }[] = []): readonly unknown[] {
  if (!Array.isArray(list)) return [];
  const places = new Set(read.map(({ at }) => at));
  return list.filter((_, at) => !places.has(at));
}

function nameOf(entry: unknown): string {
  const name = isRecord(entry) ? (entry['path'] ?? entry['username']) : undefined;
  return typeof name === 'string' ? name : '';
}

/** `groups[0].members[2].role` */
export function printPath(path: Path): string {
  return path.reduce<string>((text, step) => {
    if (typeof step === 'number') return `${text}[${step}]`;
    return text === '' ? step : `${text}.${step}`;
  }, '');
}
