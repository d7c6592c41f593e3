import { keyOf } from './fields.ts';

/**
 * The pattern of a protected repository after its project got another path: it begins with the path,
 * and the old pattern would match nothing. A pattern that does not begin with it stays.
 */
export function movePattern(pattern: string, oldPath: string, newPath: string): string {
  return keyOf(pattern).startsWith(keyOf(oldPath)) ? `${newPath}${pattern.slice(oldPath.length)}` : pattern;
}
