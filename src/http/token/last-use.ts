import type { Middleware } from 'koa';
import { createExpiringMap } from '../../expiring-map.ts';
import type { Log } from '../../log.ts';
import type { Subject } from '../../policy/subject.ts';
import { printTokenId, type TokenKey } from '../../store/directory/token-id.ts';
import type { TokenUse } from '../../store/directory/tokens.ts';
import type { RequestState } from '../request-state.ts';
import { createWriter } from './writer.ts';

/** How often a token's use is written at most; GitLab's list is as coarse. */
const GRANULARITY_MS = 5 * 60 * 1000;
const FLUSH_MS = 1000;
/** In one batch; over that, a token's use is written when it comes again. */
const MAX_WAITING = 5000;
/** Tokens that are known to have been written; about 10 MB. A token over that is only asked about once more. */
const MAX_REMEMBERED = 50_000;

/** When access and deploy tokens were last used. Writes in batches, behind the requests. */
export interface LastUse {
  note(subject: Subject, at: Date): void;
  /** Writes what is waiting. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface LastUseOptions {
  readonly save: (uses: readonly TokenUse[], granularityMs: number) => Promise<void>;
  readonly log: Log;
  readonly monotonicMs?: () => number;
}

/** Around the token endpoint: notes whatever token opened the door, also where nothing was granted; never delays or fails the answer. */
export function noteLastUse(lastUse: Pick<LastUse, 'note'>): Middleware<RequestState> {
  return async (ctx, next) => {
    try {
      await next();
    } finally {
      const { subject, now } = ctx.state.trail;
      if (subject !== undefined) lastUse.note(subject, now);
    }
  };
}

export function createLastUse({ save, log, monotonicMs = () => performance.now() }: LastUseOptions): LastUse {
  const recent = createExpiringMap<true>({ lifeMs: GRANULARITY_MS, max: MAX_REMEMBERED, monotonicMs });
  let waiting = new Map<string, TokenUse>();

  const write = async (): Promise<void> => {
    const batch = waiting;
    waiting = new Map();
    if (batch.size === 0) return;
    try {
      await save([...batch.values()], GRANULARITY_MS);
      for (const id of batch.keys()) recent.set(id, true);
    } catch (error) {
      log.warn({ err: error, lost: batch.size }, 'the last use of tokens could not be written');
    }
  };
  const writer = createWriter(write, FLUSH_MS);

  return {
    note(subject, at) {
      const key = tokenOf(subject);
      if (key === null || waiting.size >= MAX_WAITING) return;
      const id = printTokenId(key);
      if (recent.get(id) === true || waiting.has(id)) return;
      waiting.set(id, { key, at });
    },
    flush: writer.flush,
    close: writer.close,
  };
}

function tokenOf(subject: Subject): TokenKey | null {
  if (subject.kind === 'deploy_token') return { table: 'deploy', number: subject.deployTokenId };
  if (subject.kind !== 'user' || subject.accessTokenId === undefined) return null;
  return { table: 'access', number: subject.accessTokenId };
}
