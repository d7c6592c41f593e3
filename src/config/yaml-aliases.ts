import { isAlias, isMap, isNode, isSeq, type Node } from 'yaml';

/** A member of a team, `{user: alice, role: owner}`, has 5 nodes. */
const MAX_NODES_PER_CHARACTER = 4;
/** Small files may share one large list many times. */
const ALWAYS_ALLOWED_NODES = 10_000;

/** An alias that must not be expanded. */
export interface WrongAlias {
  readonly offset: number;
  readonly message: string;
}

/**
 * Finds the first alias that can't be expanded: its anchor is missing, or it stands inside its own
 * anchor, or the file with all aliases expanded is too large for its length ("billion laughs").
 * The bound grows with the file, so that a long file may use an anchor as often as it likes.
 */
export function findWrongAlias(root: Node | null, textLength: number): WrongAlias | undefined {
  const most = Math.max(ALWAYS_ALLOWED_NODES, MAX_NODES_PER_CHARACTER * textLength);
  const sizes = new Map<string, number | 'open'>();
  let total = 0;
  let wrong: WrongAlias | undefined;
  const count = (node: unknown): void => {
    if (wrong !== undefined || !isNode(node)) return;
    if (!isAlias(node)) {
      const before = total;
      total += 1;
      if (node.anchor !== undefined) sizes.set(node.anchor, 'open');
      for (const child of childrenOf(node)) count(child);
      if (node.anchor !== undefined) sizes.set(node.anchor, total - before);
      return;
    }
    const size = sizes.get(node.source);
    if (typeof size === 'number') total += size;
    const message = messageFor(node.source, size, total > most);
    if (message !== undefined) wrong = { offset: node.range?.[0] ?? 0, message };
  };
  count(root);
  return wrong;
}

function childrenOf(node: Node): readonly unknown[] {
  if (isMap(node)) return node.items.flatMap(({ key, value }) => [key, value]);
  return isSeq(node) ? node.items : [];
}

function messageFor(
  name: string,
  size: number | 'open' | undefined,
  isTooLarge: boolean,
): string | undefined {
  if (size === undefined) return `there is no anchor &${name} before the alias *${name}`;
  if (size === 'open') return `the alias *${name} stands inside its own anchor &${name}`;
  return isTooLarge ? `the alias *${name} expands the file too much: write the entries out` : undefined;
}
