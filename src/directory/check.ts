import type { Problem } from '../errors.ts';
import { perTable } from '../store/directory/table-values.ts';
import { inOrder } from './document/problems.ts';
import { type ReadDocument, readDocument } from './document/read.ts';
import { planDirectory } from './plan/plan.ts';

/**
 * All problems that can be found without a server, in the order of lines. Sections that are left
 * out are assumed to hold every name.
 */
export function checkDirectory(text: string): readonly Problem[] {
  return checkRead(readDocument(text));
}

function checkRead(read: ReadDocument): readonly Problem[] {
  const { document, problems } = read;
  if (document === null) return inOrder(problems);
  const plan = planDirectory({
    read: { ...read, document },
    stored: NOTHING_STORED,
    prune: false,
    assume: true,
    now: new Date(0),
    passwordHashes: new Map(),
  });
  return inOrder([...problems, ...plan.problems]);
}

const NOTHING_STORED = perTable<'rows'>(() => []);
