import type { TlsPair } from '../../http/listener/server.ts';
import type { HashingAnswer, HashingQuestion } from '../hashing/channel.ts';
import type { MetricsAnswer, MetricsQuestion } from './metrics.ts';

/** How the start of a worker ended. */
export type StartReport =
  | { readonly kind: 'listening'; readonly publicUrl: string }
  | { readonly kind: 'failed'; readonly message: string };

/** What a worker sends to the primary. */
export type WorkerMessage =
  | StartReport
  /** The worker waits for `listen`. */
  | { readonly kind: 'about_to_listen' }
  /** The answer to `ping`. */
  | { readonly kind: 'alive' }
  | MetricsAnswer
  | HashingQuestion;

/** What the primary sends to a worker. */
export type PrimaryMessage =
  | { readonly kind: 'stop' }
  | { readonly kind: 'ping' }
  /** `tls` is the certificate to begin with; null: without TLS. */
  | { readonly kind: 'listen'; readonly tls: TlsPair | null }
  | { readonly kind: 'certificate'; readonly tls: TlsPair }
  | MetricsQuestion
  | HashingAnswer;
