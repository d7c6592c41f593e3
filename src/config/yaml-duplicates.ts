import { isMap, isNode, isScalar, isSeq, type Node } from 'yaml';

/**
 * The offsets of keys that their mapping has already, in time in proportion to the file. Expects a
 * nesting that the parser has bounded.
 */
export function findDuplicateKeys(root: Node | null): readonly number[] {
  const offsets: number[] = [];
  const visit = (node: unknown): void => {
    if (isSeq(node)) for (const item of node.items) visit(item);
    if (!isMap(node)) return;
    const keys = new Set<unknown>();
    for (const { key, value } of node.items) {
      if (isScalar(key)) {
        if (keys.has(key.value)) offsets.push(key.range?.[0] ?? 0);
        keys.add(key.value);
      } else if (isNode(key)) visit(key);
      visit(value);
    }
  };
  visit(root);
  return offsets;
}
