import type { Middleware } from 'koa';
import { notUtf8 } from '../../config/utf8.ts';
import type { ApplyOptions } from '../../directory/apply.ts';
import type { SingleChange } from '../../directory/single/single-change.ts';
import { CellpassError } from '../../errors.ts';
import type { RevocationFile } from '../../records/revocation-file.ts';
import { readBody, readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import { type HistoryResource, noteChange } from './history.ts';
import { adminOf } from './identify.ts';

/**
 * More than a hundred thousand projects; parsing takes about a hundred times the document's size in
 * memory.
 */
const DOCUMENT_LIMIT_BYTES = 16 * 1024 * 1024;

export interface DirectoryResource {
  /**
   * @param document the text of a document, or one change.
   * @throws {CellpassError} `invalid` with every problem in the document.
   */
  apply(
    document: string | SingleChange,
    options: ApplyOptions,
  ): Promise<object & { readonly change_id: number | null }>;
  export(): Promise<string>;
}

export function applyDirectory(
  contract: Contract,
  directory: DirectoryResource,
  records: { readonly history: HistoryResource; readonly revocations: RevocationFile },
): Middleware {
  const parameters = contract.parametersOf('applyDirectory', 'malformed');
  return async (ctx) => {
    const { query = {} } = parameters(ctx);
    const { prune = false, merge = false, dry_run: dryRun = false, preview = null } = query;
    if (prune && merge)
      throw new CellpassError('invalid', 'merge changes only what the document names: leave prune out');
    const body = await readBody(ctx.req, DOCUMENT_LIMIT_BYTES);
    const maxRemovals = query.max_removals ?? null;
    const options = { prune, merge, dryRun, maxRemovals, preview, who: adminOf(ctx).actor };
    const result = await directory.apply(decodeUtf8(body), options);
    // The document is applied by now, whether or not its revocations can be noted.
    ctx.body = { ...result, ...(await noteChange(records, ctx, result.change_id)) };
  };
}

/** Changes one entry, as its own change in the history. */
export function changeOne(contract: Contract, directory: DirectoryResource): Middleware {
  const parameters = contract.parametersOf('changeOne');
  return async (ctx) => {
    const { dry_run: dryRun = false } = parameters(ctx).query ?? {};
    const change = contract.parseSingleChange(await readJson(ctx.req));
    ctx.body = await directory.apply(change, { prune: false, dryRun, who: adminOf(ctx).actor });
  };
}

export function exportDirectory(directory: DirectoryResource): Middleware {
  return async (ctx) => {
    ctx.type = 'application/yaml';
    ctx.body = await directory.export();
  };
}

function decodeUtf8(bytes: Buffer): string {
  const problem = notUtf8(bytes);
  if (problem !== null) throw new CellpassError('malformed', `the document ${problem}`);
  return new TextDecoder('utf-8').decode(bytes);
}
