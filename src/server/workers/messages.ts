import type { HashingAnswer, HashingQuestion } from '../hashing/channel.ts';
import type { MetricsAnswer, MetricsQuestion } from './metrics.ts';

/** A worker's first message to the primary. */
export type StartReport =
  | { readonly kind: 'listening'; readonly publicUrl: string }
  | { readonly kind: 'failed'; readonly message: string };

/** What a worker sends to the primary. */
export type WorkerMessage = StartReport | MetricsAnswer | HashingQuestion;

/** What the primary sends to a worker. */
export type PrimaryMessage = 'reload' | 'stop' | MetricsQuestion | HashingAnswer;
