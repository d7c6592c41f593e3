import type { Middleware } from 'koa';
import { Counter, Histogram, type Registry } from 'prom-client';
import { CellpassError } from '../../errors.ts';
import type { RequestState } from '../request-state.ts';
import type { Forwarder } from '../token/forward.ts';
import { TOKEN_PATHS } from '../token/paths.ts';

const STEPS = ['authenticate', 'authorize', 'sign', 'forward', 'total'] as const;
/** A step of a token request; `total` is the whole request, whatever the answer. */
type Step = (typeof STEPS)[number];

export interface RequestMetrics {
  /**
   * Counts every answer. Its labels come from the routes, the answers and the closed set of
   * causes, never from what a client sends.
   */
  readonly count: Middleware<RequestState>;
  /** Does one step and measures how long it took, also when it fails. */
  timed<T>(step: Step, work: () => Promise<T>): Promise<T>;
  /** The same forwarder, with its answers counted by cell. */
  measured(forwarder: Forwarder): Forwarder;
}

/** From the fastest answers to those that come too late. Few, because each is a series per step. */
const BUCKETS_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3];
const MS = 1000;
/** One label for all paths of the token endpoint, so that one alert sees them all. */
const [TOKEN_ROUTE] = TOKEN_PATHS;

export function createRequestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry];
  const answers = new Counter({
    name: 'cellpass_requests_total',
    help: 'Answers by route, status and cause; "none": answered as asked, "granted_less": a token with less than asked',
    labelNames: ['route', 'status', 'reason'],
    registers,
  });
  const durations = new Histogram({
    name: 'cellpass_request_step_duration_seconds',
    help: 'How long the steps of token requests take; "total" is all of a request',
    labelNames: ['step'],
    buckets: BUCKETS_SECONDS,
    registers,
  });
  const forwarded = new Counter({
    name: 'cellpass_forwarded_requests_total',
    help: 'Requests forwarded to another cell, by cell and answer; "failed": no answer came in time',
    labelNames: ['cell', 'outcome'],
    registers,
  });
  // Looked up once, because finding a series by its label costs more than counting.
  const series = new Map(STEPS.map((step) => [step, durations.labels({ step })]));
  const observe = (step: Step, startedAt: number): void =>
    series.get(step)?.observe((performance.now() - startedAt) / MS);

  const timed = async <T>(step: Step, work: () => Promise<T>): Promise<T> => {
    const startedAt = performance.now();
    try {
      return await work();
    } finally {
      observe(step, startedAt);
    }
  };

  return {
    async count(ctx, next) {
      await next();
      const route = routeOf(ctx['_matchedRoute']);
      answers.inc({ route, status: ctx.status, reason: reasonOf(ctx.state) });
      if (route === TOKEN_ROUTE) observe('total', ctx.state.startedAtMs);
    },
    timed,
    measured: (forwarder) => ({
      async forward(incoming, destination) {
        const cell = destination.cell.id;
        try {
          const given = await timed('forward', () => forwarder.forward(incoming, destination));
          forwarded.inc({ cell, outcome: `${Math.floor(given.answer.status / 100)}xx` });
          return given;
        } catch (error) {
          forwarded.inc({ cell, outcome: 'failed' });
          throw error;
        }
      },
      stats: () => forwarder.stats(),
      close: () => forwarder.close(),
    }),
  };
}

/** The route's template, never the path that a client sent. */
function routeOf(template: unknown): string {
  if (TOKEN_PATHS.some((path) => path === template)) return TOKEN_ROUTE;
  return typeof template === 'string' ? template : 'none';
}

function reasonOf({ error, successReason }: RequestState): string {
  if (error === undefined) return successReason;
  return error instanceof CellpassError ? error.reason : 'internal';
}
