import { createHash } from 'node:crypto';
import type { EntryChange } from './entry-changes.ts';

/** SHA-256 in hex of a list of changes, by which an apply tells whether it makes the changes shown. */
export function digestOfPreview(changes: readonly EntryChange[]): string {
  const lines = changes.map(({ op, section, name, fields }) => {
    // The id of a new job token is another one each time.
    const isFresh = op === '+' && section === 'job_tokens';
    return JSON.stringify([op, section, isFresh ? '' : name, fields]);
  });
  return createHash('sha256').update(lines.sort().join('\n')).digest('hex');
}
