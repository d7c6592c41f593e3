import { createExpiringMap } from '../expiring-map.ts';
import type { Log } from '../log.ts';
import type { Subject } from '../policy/subject.ts';
import { printTokenId, type TokenKey } from '../store/directory/token-id.ts';
import type { TokenUse } from '../store/directory/tokens.ts';
import { BatchWriter } from './batch-writer.ts';

/** When access and deploy tokens were last used. It is written in batches, behind the requests. */
export interface LastUse {
  /** Does nothing for a subject that came without such a token. */
  note(subject: Subject, at: Date, address?: string): void;
  /** Writes all uses that wait now. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

export interface LastUseOptions {
  readonly save: (uses: readonly TokenUse[], granularityMs: number) => Promise<void>;
  readonly log: Pick<Log, 'warn'>;
  readonly monotonicMs?: () => number;
  /** How often a token's use is written at most; default: every five minutes. */
  readonly granularityMs?: number;
  /** True: once for each address that a token comes from; default: false. */
  readonly perAddress?: boolean;
}

const GRANULARITY_MS = 5 * 60 * 1000;
const FLUSH_MS = 1000;
/** In one batch; over that, a token's use is written when the token comes again. */
const MAX_WAITING = 5000;
const USE_BYTES = 200;
/** Tokens whose use was written lately; about 10 MB. A forgotten token is written once more. */
const MAX_RECENT = 50_000;

export function createLastUse({
  save,
  log,
  monotonicMs = () => performance.now(),
  granularityMs = GRANULARITY_MS,
  perAddress = false,
}: LastUseOptions): LastUse {
  const recent = createExpiringMap<true>({ lifeMs: granularityMs, max: MAX_RECENT, monotonicMs });
  const idOf = ({ key, address = '' }: TokenUse): string =>
    perAddress ? `${printTokenId(key)} ${address}` : printTokenId(key);
  const waiting = new Set<string>();
  const writer = new BatchWriter<TokenUse>({
    async save(batch) {
      await save(batch, granularityMs);
      for (const use of batch) recent.set(idOf(use), true);
    },
    onRemoved: (batch) => {
      for (const use of batch) waiting.delete(idOf(use));
    },
    bytesOf: () => USE_BYTES,
    batchItems: MAX_WAITING,
    everyMs: FLUSH_MS,
    // A use that is lost is written when the token comes again, so it is worth no warning.
    messages: { failed: 'the last use of tokens could not be written', lost: null },
    log,
    monotonicMs,
  });
  const add = writer.openQueue({ items: MAX_WAITING, bytes: MAX_WAITING * USE_BYTES });
  return {
    note(subject, at, address) {
      const key = tokenOf(subject);
      if (key === null) return;
      const use: TokenUse = perAddress && address !== undefined ? { key, at, address } : { key, at };
      const id = idOf(use);
      if (recent.get(id) === true || waiting.has(id)) return;
      if (add(use)) waiting.add(id);
    },
    flush: () => writer.flush(),
    close: () => writer.close(),
  };
}

function tokenOf(subject: Subject): TokenKey | null {
  if (subject.kind === 'deploy_token') return { table: 'deploy', number: subject.deployTokenId };
  if (subject.kind !== 'user' || subject.accessTokenId === undefined) return null;
  return { table: 'access', number: subject.accessTokenId };
}
