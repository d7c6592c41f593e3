import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { PASSWORD, type Target } from './target.ts';

export interface Sent {
  readonly from: string;
  readonly path: string;
  readonly login?: string;
  readonly timeoutMs?: number;
}

/** Sends one request on a connection of its own. Resolves with the status; 0: no answer in time. */
export function send(target: Target, { from, path, login, timeoutMs = 15_000 }: Sent): Promise<number> {
  return new Promise((resolve) => {
    const options = {
      host: '127.0.0.1',
      port: target.port,
      localAddress: from,
      path,
      agent: false,
      rejectUnauthorized: false,
      signal: AbortSignal.timeout(timeoutMs),
      headers: login === undefined ? {} : { Authorization: basic(login) },
    } as const;
    const begin = target.isTls ? httpsRequest : httpRequest;
    const sent = begin(options, (response) => {
      response.resume().once('end', () => resolve(response.statusCode ?? 0));
    });
    sent.once('error', () => resolve(0)).end();
  });
}

export const TOKEN = '/jwt/auth?service=container_registry';
const basic = (login: string): string => `Basic ${Buffer.from(login).toString('base64')}`;

/** Makes the next request of the other clients. */
export type Asked = () => Pick<Sent, 'path' | 'login'>;

/** What the clients at another address saw during an attack. */
export interface Seen {
  readonly slowestHealthMs: number;
  /** The share of token requests that were answered 200 within two seconds (six with a password). */
  readonly answered: number;
  readonly slowestTokenMs: number;
}

/** Asks for health and for tokens from another address, each every 50 ms, while the attack runs. */
export async function observe(
  target: Target,
  { seconds, ask }: { readonly seconds: number; readonly ask: Asked },
): Promise<Seen> {
  const isPassword = ask().login !== undefined;
  const endsMs = performance.now() + seconds * 1000;
  const health: number[] = [];
  const tokens: { readonly status: number; readonly ms: number }[] = [];
  const running: Promise<void>[] = [];
  const timed = async (sent: Sent, done: (status: number, ms: number) => void): Promise<void> => {
    const startedMs = performance.now();
    const status = await send(target, sent);
    done(status, performance.now() - startedMs);
  };
  while (performance.now() < endsMs) {
    running.push(timed({ from: '127.0.0.9', path: '/healthz' }, (_, ms) => health.push(ms)));
    running.push(timed({ from: '127.0.0.9', ...ask() }, (status, ms) => tokens.push({ status, ms })));
    await delay(isPassword ? 300 : 50);
  }
  await Promise.all(running);
  const isAnswered = ({ status, ms }: (typeof tokens)[number]): boolean =>
    status === 200 && ms < (isPassword ? 6000 : 2000);
  return {
    slowestHealthMs: Math.max(...health),
    answered: tokens.filter(isAnswered).length / tokens.length,
    slowestTokenMs: Math.max(...tokens.map(({ ms }) => ms)),
  };
}

export const PUBLIC_PULL = { path: `${TOKEN}&scope=repository:acme/app:pull` };
export const BOB = { path: TOKEN, login: `bob:${PASSWORD}` };
