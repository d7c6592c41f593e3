import type { RailsRules } from '../../config/rails.ts';
import type { TlsPair } from '../../http/listener/server.ts';
import type { HashingAnswer, HashingQuestion } from '../hashing/channel.ts';
import type { MetricsAnswer, MetricsQuestion } from './metrics.ts';

/** How the start of a worker ended. */
export type StartReport =
  | { readonly kind: 'listening'; readonly publicUrl: string; readonly listen: string }
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
  /** What to begin with: the certificate, null without TLS, and the rules beside Rails, null without. */
  | { readonly kind: 'listen'; readonly tls: TlsPair | null; readonly rules: RailsRules | null }
  | { readonly kind: 'certificate'; readonly tls: TlsPair }
  | { readonly kind: 'rules'; readonly rules: RailsRules | null }
  | MetricsQuestion
  | HashingAnswer;
