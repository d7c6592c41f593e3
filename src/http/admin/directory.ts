import type { Middleware } from 'koa';
import type { ApplyOptions } from '../../directory/apply.ts';
import { CellpassError } from '../../errors.ts';
import { readBody } from '../body.ts';
import type { Contract } from '../contract.ts';
import { adminOf } from './identify.ts';

/**
 * More than a hundred thousand projects; parsing takes about a hundred times the document's size in
 * memory.
 */
const DOCUMENT_LIMIT_BYTES = 16 * 1024 * 1024;

export interface DirectoryResource {
  /** Throws `invalid` with every problem in the document. */
  apply(document: string, options: ApplyOptions): Promise<object>;
  export(): Promise<string>;
}

export function applyDirectory(contract: Contract, directory: DirectoryResource): Middleware {
  const parameters = contract.parametersOf('applyDirectory', 'malformed');
  return async (ctx) => {
    const { prune = false, dry_run: dryRun = false, max_removals: maxRemovals } = parameters(ctx).query ?? {};
    const body = await readBody(ctx.req, DOCUMENT_LIMIT_BYTES);
    const options = { prune, dryRun, maxRemovals: maxRemovals ?? null, who: adminOf(ctx).actor };
    ctx.body = await directory.apply(decodeUtf8(body), options);
  };
}

export function exportDirectory(directory: DirectoryResource): Middleware {
  return async (ctx) => {
    ctx.type = 'application/yaml';
    ctx.body = await directory.export();
  };
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new CellpassError('malformed', 'the document is not UTF-8: save it as UTF-8');
  }
}
