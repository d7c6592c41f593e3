import { CellpassError, firstProblems, type Problem } from '../../errors.ts';

/** By line; problems of one line, and problems without a line, keep their order. */
export function inOrder<P extends Problem>(problems: readonly P[]): readonly P[] {
  return problems.toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
}

/**
 * The error for a document with problems: the first of them by line, and the number of all. A file
 * that is no directory document at all can have a problem on every line.
 */
export function invalidDocument(problems: readonly Problem[]): CellpassError {
  const first = firstProblems(inOrder(problems));
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`;
  const listed = first.length < problems.length ? `, of which the first ${first.length} are listed` : '';
  return new CellpassError('invalid', `the directory document has ${count}${listed}: nothing was applied`, {
    problems: first,
  });
}
