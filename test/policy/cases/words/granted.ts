import { ACTIONS } from '../../../../src/policy/role.ts';
import { clauses, NotUnderstood } from './phrases.ts';

/** Parses the column `granted`. */

/**
 * The expected claim of `meta`: `unstated` if the row doesn't say, `present` if it must follow from
 * the project's rules.
 */
export type Stated<T> = 'unstated' | 'absent' | 'present' | T;

export interface Expectation {
  /** Actions on repositories: on the labels named, or (null) on all that are asked. */
  readonly repositories: readonly {
    readonly actions: readonly string[];
    readonly labels: readonly string[] | null;
  }[];
  /** Registry scopes, as the row has them. */
  readonly registry: readonly string[];
  readonly deny: Stated<Readonly<Record<string, readonly string[]>>>;
  /** A number is the count of patterns. */
  readonly immutable: Stated<readonly string[] | number>;
}

export function readGranted(cell: string): Expectation {
  const actions: string[] = [];
  const named: { actions: readonly string[]; labels: readonly string[] }[] = [];
  const registry: string[] = [];
  let deny: Expectation['deny'] = 'unstated';
  let immutable: Expectation['immutable'] = 'unstated';
  for (const clause of clauses(cell)) {
    const asDeny = readDeny(clause);
    const asImmutable = readImmutable(clause);
    const onLabels = readOnLabels(clause);
    if (isAction(clause)) actions.push(clause);
    else if (asDeny !== undefined) deny = asDeny;
    else if (asImmutable !== undefined) immutable = asImmutable;
    else if (onLabels !== undefined) named.push(onLabels);
    else if (/^registry:\S+:\S+$/.test(clause)) registry.push(clause);
    else if (!NOTHING.test(clause)) throw new NotUnderstood(clause, 'granted');
  }
  if (clauses(cell).length === 0) throw new NotUnderstood('an empty cell', 'granted');
  const repositories = [...(actions.length > 0 ? [{ actions, labels: null }] : []), ...named];
  return { repositories, registry, deny, immutable };
}

const NOTHING = /^(?:none|nothing|n\/a)(?: ?\((?:the )?whole request\))?$/;

function isAction(clause: string): boolean {
  return ACTIONS.some((action) => action === clause);
}

const CLAIM_ABSENT = 'no|without|absent';

/** `deny={}`, `deny push=[a,b] delete=[]`, `no tag_deny_access_patterns`. */
function readDeny(clause: string): Expectation['deny'] | undefined {
  if (new RegExp(`^(?:${CLAIM_ABSENT}) (?:tag_deny_access_patterns|deny(?: patterns| claim)?)$`).test(clause))
    return 'absent';
  const [, patterns] = /^(?:deny|tag_deny_access_patterns) ?=? ?(.*)$/.exec(clause) ?? [];
  if (patterns === undefined) return undefined;
  if (patterns === '{}') return {};
  if (patterns === 'present') return 'present';
  if (patterns === 'absent' || patterns === 'none') return 'absent';
  const lists = [...patterns.matchAll(/(push|delete) ?[=:] ?\[([^\]]*)\][,;]?\s*/g)];
  if (lists.length === 0 || lists.map(([whole]) => whole).join('') !== patterns.replace(/^\{|\}$/g, ''))
    throw new NotUnderstood(clause, 'granted');
  return Object.fromEntries(lists.map(([, action, list]) => [action, listIn(list ?? '')]));
}

const IMMUTABLE = '(?:tag_)?immutable(?:_| )?(?:tag )?(?:patterns?|rules?|claim)?';

/**
 * `immutable=[a,b]`, `2 immutable patterns`, `tag_immutable_patterns present`, `no
 * tag_immutable_patterns`.
 */
function readImmutable(written: string): Expectation['immutable'] | undefined {
  if (!/immutable/.test(written)) return undefined;
  const clause = written.replace(/\[(\d+ patterns|both|all)\]/, '$1');
  if (new RegExp(`^(?:${CLAIM_ABSENT}) ${IMMUTABLE}$|^${IMMUTABLE} ?=? ?(?:absent|none)$`).test(clause))
    return 'absent';
  const [, list] = new RegExp(`^${IMMUTABLE} ?=? ?\\[([^\\]]*)\\]$`).exec(clause) ?? [];
  if (list !== undefined) return listIn(list);
  const counted = new RegExp(
    `^(?:with )?(\\d+) ${IMMUTABLE}$|^${IMMUTABLE} ?(?:=|with)? ?(\\d+)(?: patterns?)?$`,
  ).exec(clause);
  const count = counted?.[1] ?? counted?.[2];
  if (count !== undefined) return Number(count);
  if (new RegExp(`^(?:with )?(?:(?:both|all) )?${IMMUTABLE} ?=? ?(?:present|both|all)?$`).test(clause))
    return 'present';
  throw new NotUnderstood(clause, 'granted');
}

/** `pull on internal and public only`, `pull on other repo`. */
function readOnLabels(clause: string) {
  const [, actions, labels] = /^(\S+) on (.+?)(?: only)?$/.exec(clause) ?? [];
  if (actions === undefined || labels === undefined) return undefined;
  const list = actions.split(',');
  const odd = list.find((action) => !isAction(action));
  if (odd !== undefined) throw new NotUnderstood(odd, 'granted');
  return {
    actions: list,
    labels: labels.split(/, (?:and )?| and /).map((label) => label.replace(/^the /, '')),
  };
}

function listIn(text: string): readonly string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
