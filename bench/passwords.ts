import { setMaxListeners } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Agent, request } from 'undici';
import { type Figures, load, medianFigures } from './load.ts';
import { MACHINE, machineInWords } from './machine.ts';
import { PASSWORD, type Town, USUAL } from './seed.ts';
import { type BenchServer, withServer } from './server.ts';
import { ONE_SCOPE, tokenRequest, writeRequests } from './token-cases.ts';

/**
 * Measures how a flood of password logins slows down token requests: the p99 of token requests at a
 * steady rate, without the flood and while 200 clients log in by password again and again, in
 * turns. A client that is refused waits as long as `Retry-After` says. Exits with 1 when the p99
 * grows more than 3 times. `--burst` starts to measure when all clients send their first login at
 * once.
 */
const { values } = parseArgs({ options: { burst: { type: 'boolean', default: false } } });
const CLIENTS = 200;
/**
 * By then each client has sent its first login, and the refused clients wait for different times.
 */
const SETTLE_MS = 2000;
const CONNECTIONS = 8;
/** Gives about 250 requests a second. */
const PAUSE_MS = 32;
const SECONDS = 8;
const TURNS = 3;
const MOST = 3;

await withServer({ size: USUAL, workers: MACHINE.processors }, async (server) => {
  const file = join(server.dir, 'tokens.txt');
  await writeRequests(file, ONE_SCOPE, { town: server.town, count: 2000 });
  const measure = (seconds: number): Promise<Figures> =>
    load({ base: server.base, requests: file, seconds, connections: CONNECTIONS, pauseMs: PAUSE_MS });
  await measure(SECONDS);
  const alone: Figures[] = [];
  const flooded: Figures[] = [];
  const statuses = new Map<number, number>();
  for (let turn = 0; turn < TURNS; turn++) {
    alone.push(await measure(SECONDS));
    const flood = startFlood(server, statuses);
    if (!values.burst) await delay(SETTLE_MS);
    flooded.push(await measure(SECONDS));
    await flood.stop();
  }
  const [before, during] = [medianFigures(alone), medianFigures(flooded)];
  const ratio = during.p99Ms / before.p99Ms;
  console.log(machineInWords());
  console.log(
    `tokens alone: ${inWords(before)}; while ${CLIENTS} clients log in by password: ${inWords(during)}`,
  );
  console.log(
    `p99 ${ratio.toFixed(2)} times (target: up to ${MOST}); password logins: ${JSON.stringify(Object.fromEntries(statuses))}`,
  );
  process.exitCode = ratio > MOST ? 1 : 0;
});

function inWords({ perSecond, p50Ms, p99Ms }: Figures): string {
  return `${perSecond.toFixed(0)} a second, p50 ${p50Ms.toFixed(1)} ms, p99 ${p99Ms.toFixed(1)} ms`;
}

function startFlood({ base, town }: BenchServer, statuses: Map<number, number>): { stop(): Promise<void> } {
  const agent = new Agent({ connections: CLIENTS });
  const stopping = new AbortController();
  setMaxListeners(CLIENTS, stopping.signal);
  const client = async (number: number): Promise<void> => {
    while (!stopping.signal.aborted) {
      const { status, retryAfterSeconds } = await logIn(agent, base, loginOf(town, number));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      await delay(retryAfterSeconds * 1000, undefined, { signal: stopping.signal }).catch(() => undefined);
    }
  };
  const clients = Promise.all(Array.from({ length: CLIENTS }, (_, number) => client(number)));
  return {
    stop: async () => {
      stopping.abort();
      await clients;
      await agent.close();
    },
  };
}

function loginOf(town: Town, number: number): { readonly path: string; readonly authorization: string } {
  const { username, projects } = town.user(number);
  const [path = '', authorization = ''] = tokenRequest({
    scopes: [`repository:${projects[0]}:pull`],
    login: [username, PASSWORD],
  }).split('\t');
  return { path, authorization };
}

async function logIn(
  agent: Agent,
  base: string,
  { path, authorization }: { readonly path: string; readonly authorization: string },
): Promise<{ readonly status: number; readonly retryAfterSeconds: number }> {
  const { statusCode, headers, body } = await request(`${base}${path}`, {
    headers: { authorization },
    dispatcher: agent,
  });
  await body.dump();
  return { status: statusCode, retryAfterSeconds: Number(headers['retry-after'] ?? 0) };
}
