import { firstProblems, type Problem, shortProblem } from '../../errors.ts';
import { didYouMean, MOST_MISTAKES } from '../../nearest-name.ts';
import type { Sql } from '../../store/database/drivers.ts';
import { type NamedSection, readNames } from '../../store/directory/near-names.ts';
import type { PlannedTables } from '../../store/directory/table-values.ts';
import { inOrder } from './problems.ts';

/** A name that refers to nothing, and what it should refer to. */
export interface Misspelt {
  readonly name: string;
  readonly among: readonly NamedSection[];
}

/** A problem that may be a typing error. */
export interface FoundProblem extends Problem {
  readonly misspelt?: Misspelt;
}

/** Names that one document's mistakes are compared with: a second's work. */
const MOST_COMPARED = 1_000_000;

type Names = (section: NamedSection) => readonly string[];

/**
 * The problems by line, of which the first, which are listed, name what was probably meant. The
 * others don't, so that a document with many mistakes is not compared with the whole directory for
 * each of them.
 */
export function withSuggestions(problems: readonly FoundProblem[], namesOf: Names): readonly Problem[] {
  const names = onceEach(namesOf);
  const listed = firstProblems(problems).length;
  let compared = 0;
  return inOrder(problems).map(({ misspelt, ...problem }: FoundProblem, at) => {
    if (misspelt === undefined || at >= listed || compared >= MOST_COMPARED) return problem;
    const among = misspelt.among.flatMap(names);
    compared += among.length;
    const suggestion = didYouMean(misspelt.name, among);
    return suggestion === '' ? problem : shortProblem({ ...problem, message: problem.message + suggestion });
  });
}

function onceEach(namesOf: Names): Names {
  const known = new Map<NamedSection, readonly string[]>();
  return (section) => {
    const names = known.get(section) ?? namesOf(section);
    known.set(section, names);
    return names;
  };
}

/** The names in the tables of a plan: those of the document, and the stored ones that it read. */
export function namesInPlan({ organizations, users, namespaces, projects }: PlannedTables): Names {
  return (section) => {
    switch (section) {
      case 'organizations':
        return [...organizations.rows.values()].map(({ path }) => path);
      case 'users':
        return [...users.rows.values()]
          .filter(({ kind }) => kind === 'human' || kind === 'service_account')
          .map(({ username }) => username);
      case 'groups':
        return [...namespaces.rows.values()].filter(({ type }) => type === 'Group').map(({ path }) => path);
      case 'projects':
        return [...projects.rows.values()].map(({ path }) => path);
    }
  };
}

/** Stored names that may be meant by the problems that are listed, a query for each section. */
export async function storedNames(sql: Sql, problems: readonly FoundProblem[]): Promise<Names> {
  const listed = firstProblems(inOrder(problems)).flatMap(({ misspelt }: FoundProblem) => misspelt ?? []);
  const found = new Map<NamedSection, readonly string[]>();
  for (const section of new Set(listed.flatMap(({ among }) => among))) {
    const lengths = listed.filter(({ among }) => among.includes(section)).map(({ name }) => name.length);
    const bounds = {
      shortest: Math.min(...lengths) - MOST_MISTAKES,
      longest: Math.max(...lengths) + MOST_MISTAKES,
    };
    found.set(section, await readNames(sql, section, bounds));
  }
  return (section) => found.get(section) ?? [];
}
