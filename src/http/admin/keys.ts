import type { Context, Middleware } from 'koa';
import type { RevocationFile } from '../../records/revocation-file.ts';
import type { AuthorityOperations } from '../../rotation/authorities.ts';
import type { PemPair } from '../../rotation/import.ts';
import type { StepOptions } from '../../rotation/key-change.ts';
import type { KeyOperations } from '../../rotation/keys.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import { adminOf } from './identify.ts';
import { note } from './note-revocation.ts';

/** The routes behind `cellpass keys`; each calls one method of an administration. */
export interface KeyRoutes {
  readonly list: Middleware;
  readonly history: Middleware;
  readonly certificate: Middleware;
  readonly stage: Middleware;
  readonly activate: Middleware;
  readonly rotate: Middleware;
  readonly retire: Middleware;
  readonly revoke: Middleware;
  readonly import: Middleware;
  readonly probe: Middleware;
  readonly rewrap: Middleware;
  readonly stageAuthority: Middleware;
  readonly importAuthority: Middleware;
  readonly activateAuthority: Middleware;
  readonly discardAuthority: Middleware;
}

export interface KeyResource {
  readonly keys: KeyOperations;
  readonly authorities: AuthorityOperations;
  readonly revocations: RevocationFile;
}

const HISTORY_LENGTH = 1000;

export function keyRoutes(contract: Contract, { keys, authorities, revocations }: KeyResource): KeyRoutes {
  const certificateParameters = contract.parametersOf('exportCertificate');
  return {
    list: answer(() => keys.list()),
    history: answer(() => keys.history(HISTORY_LENGTH)),
    certificate: async (ctx) => {
      const { kid } = certificateParameters(ctx).query;
      const pem = await keys.exportCertificate(kid);
      ctx.type = 'application/x-pem-file';
      ctx.body = pem;
    },
    stage: answer((ctx) => keys.stage(by(ctx))),
    activate: answer(async (ctx) => {
      const { kid, force } = contract.parseActivateKey(await readOptionalJson(ctx));
      return keys.activate(kid, by(ctx, force));
    }),
    rotate: answer(async (ctx) => {
      const { force = false, dry_run, wait, kid } = contract.parseRotateKeys(await readOptionalJson(ctx));
      if (wait === true) return keys.rotateOrWait(kid, by(ctx));
      return dry_run === true ? keys.planRotation({ force }) : keys.rotate(by(ctx, force));
    }),
    retire: answer(async (ctx) => {
      const { kid } = contract.parseRetireKey(await readJson(ctx.req));
      return keys.retire(kid, by(ctx));
    }),
    revoke: answer(async (ctx) => {
      const { kid, reason } = contract.parseRevokeKey(await readJson(ctx.req));
      const outcome = await keys.revoke(kid, reason, by(ctx));
      return { ...outcome, ...(await note(revocations, ctx, [{ kind: 'key', kid, reason }])) };
    }),
    import: answer(async (ctx) =>
      keys.import(toPems(contract.parseImportKey(await readJson(ctx.req))), by(ctx)),
    ),
    probe: answer(() => keys.probe()),
    rewrap: answer((ctx) => keys.rewrap(by(ctx))),
    stageAuthority: answer((ctx) => authorities.stage(by(ctx))),
    importAuthority: answer(async (ctx) =>
      authorities.import(toPems(contract.parseImportAuthority(await readJson(ctx.req))), by(ctx)),
    ),
    activateAuthority: answer(async (ctx) => {
      const { force } = contract.parseActivateAuthority(await readOptionalJson(ctx));
      return authorities.activate(by(ctx, force));
    }),
    discardAuthority: answer((ctx) => authorities.discard(by(ctx))),
  };
}

function answer(work: (ctx: Context) => Promise<object>): Middleware {
  return async (ctx) => {
    ctx.body = await work(ctx);
  };
}

/** A missing body counts as an empty object. */
function readOptionalJson({ req }: Context): Promise<unknown> {
  const isEmpty =
    req.headers['content-length'] === '0' ||
    (req.headers['content-length'] ?? req.headers['transfer-encoding']) === undefined;
  return isEmpty ? Promise.resolve({}) : readJson(req);
}

function by(ctx: Context, force = false): StepOptions {
  return { actor: adminOf(ctx).actor, force };
}

function toPems(input: { readonly key_pem: string; readonly certificate_pem?: string }): PemPair {
  return { keyPem: input.key_pem, certificatePem: input.certificate_pem ?? null };
}
