import type { IssuerRules } from '../config/federation.ts';
import { firstProblems, type Problem } from '../errors.ts';
import { perTable } from '../store/directory/table-values.ts';
import { inOrder } from './document/problems.ts';
import { type ReadDocument, readDocument } from './document/read.ts';
import { namesInPlan, withSuggestions } from './document/suggestions.ts';
import type { TokenLimits } from './document/token-warnings.ts';
import { planDirectory } from './plan/plan.ts';

/** In the order of lines. */
export interface CheckedDocument {
  /** For which a server would refuse the document. */
  readonly problems: readonly Problem[];
  /** What is probably not meant. */
  readonly warnings: readonly Problem[];
}

/**
 * All problems that can be found without a server. Sections that are left out are assumed to hold
 * every name.
 * @param issuers what identities of each issuer must pin; null: it is not known here.
 * @param tokenLimits what new tokens may; null: no warnings of tokens.
 */
export function checkDirectory(
  text: string,
  issuers: IssuerRules | null = null,
  tokenLimits: TokenLimits | null = null,
): CheckedDocument {
  return checkRead(readDocument(text), issuers, tokenLimits);
}

function checkRead(
  read: ReadDocument,
  issuers: IssuerRules | null,
  tokenLimits: TokenLimits | null,
): CheckedDocument {
  const { document, problems } = read;
  if (document === null) return { problems: inOrder(problems), warnings: [] };
  const plan = planDirectory({
    read: { ...read, document },
    stored: NOTHING_STORED,
    prune: false,
    assume: true,
    now: new Date(0),
    passwordHashes: new Map(),
    tokenLimits,
    identityRules: { issuers, unknownIssuers: UNKNOWN_ISSUERS },
  });
  return {
    problems: withSuggestions([...problems, ...plan.problems], namesInPlan(plan.tables)),
    warnings: firstProblems(inOrder(plan.warnings)),
  };
}

const UNKNOWN_ISSUERS =
  'CELLPASS_CONFIG names no file with federation, so it is not known which claims each issuer must pin';

const NOTHING_STORED = perTable<'rows'>(() => []);
