import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { machineInWords } from '../machine.ts';
import { type Asked, BOB, observe, PUBLIC_PULL, send, TOKEN } from './others.ts';
import { PASSWORD, type Target, withTarget } from './target.ts';

/**
 * Shows what attackers at one address can take from clients at another: attacks one server of one
 * process by each attack in turn, while other clients ask for health and for tokens.
 *
 * - `--root PATH`: the built checkout that is attacked; may be repeated, and is this one by default
 * - `--only WORDS`: only the attacks whose name contains the words
 * - `--seconds N`: how long each attack takes; 6 by default
 */
interface Attack {
  readonly name: string;
  readonly isTls?: boolean;
  readonly needsTopologyService?: boolean;
  /** What the other clients ask for. */
  readonly others: Asked;
  /** Begins the attack; the result ends it. */
  begin(target: Target): () => void;
}

const ATTACKER = '127.0.0.2';
/** Sooner would be a flood of connections, which only a proxy or the system can bound. */
const REOPEN_MS = 1000;
/** How many groups the attacker has invented. */
let invented = 0;
const { values } = parseArgs({
  options: {
    root: { type: 'string', multiple: true, default: [new URL('../..', import.meta.url).pathname] },
    only: { type: 'string' },
    seconds: { type: 'string', default: '6' },
  },
});
const seconds = Number(values.seconds);

const ATTACKS: readonly Attack[] = [
  {
    name: '20 connections pipeline 2,000 requests each, again and again',
    others: () => PUBLIC_PULL,
    begin: (target) => {
      const burst = `GET ${PUBLIC_PULL.path} HTTP/1.1\r\nHost: x\r\n\r\n`.repeat(2000);
      return holdConnections(target, 20, (socket) => {
        socket.on('drain', () => socket.write(burst)).resume();
        socket.write(burst);
      });
    },
  },
  {
    name: '4,500 TLS connections without a handshake',
    isTls: true,
    others: () => PUBLIC_PULL,
    begin: (target) => holdConnections(target, 4500, () => undefined),
  },
  {
    name: '100 logins at once with one account and its right password',
    others: () => BOB,
    begin: (target) =>
      repeat(100, () => send(target, { from: ATTACKER, path: TOKEN, login: `alice:${PASSWORD}` })),
  },
  {
    name: 'anonymous requests for ten invented groups each, at a Topology Service of 50 ms',
    needsTopologyService: true,
    others: () => ({ path: `${inventedGroups(1)}&scope=repository:acme/app:pull` }),
    begin: (target) => repeat(100, () => send(target, { from: ATTACKER, path: inventedGroups(10) })),
  },
  {
    name: 'wrong passwords of one account behind the address of the others',
    others: () => BOB,
    begin: (target) => {
      let guesses = 0;
      return repeat(4, () => {
        guesses += 1;
        return send(target, { from: '127.0.0.9', path: TOKEN, login: `alice:guess ${guesses}` });
      });
    },
  },
  {
    name: 'refusals with 60 KB of text each',
    others: () => PUBLIC_PULL,
    begin: (target) => {
      const scopes = Array.from({ length: 60 }, (_, n) => `&scope=repository:${'x'.repeat(900)}-${n}:pull`);
      const path = `${TOKEN}${scopes.join('')}`;
      return repeat(16, () => send(target, { from: ATTACKER, path, login: 'mallory:glpat-wrong' }));
    },
  },
];

console.log(`${machineInWords()}\n`);
console.log(
  '| attack | checkout | slowest /healthz ms | others answered | slowest answer ms | written, MB an hour |\n|---|---|---:|---:|---:|---:|',
);
for (const attack of ATTACKS) {
  if (values.only !== undefined && !attack.name.includes(values.only)) continue;
  for (const root of values.root) await measure(root, attack);
}

async function measure(root: string, attack: Attack): Promise<void> {
  const service = attack.needsTopologyService === true ? await startTopologyService() : null;
  const options = { root, isTls: attack.isTls === true, topologyService: service?.url ?? null };
  await withTarget(options, async (target) => {
    for (let n = 0; n < 20; n++) await send(target, { from: '127.0.0.8', ...PUBLIC_PULL });
    const before = target.bytesWritten();
    const end = attack.begin(target);
    await delay(500);
    const seen = await observe(target, { seconds, ask: attack.others });
    const written = ((target.bytesWritten() - before) / (seconds + 0.5)) * 3600;
    end();
    const cells = [
      attack.name,
      root,
      seen.slowestHealthMs.toFixed(0),
      `${(100 * seen.answered).toFixed(0)} %`,
      seen.slowestTokenMs.toFixed(0),
      (written / 1e6).toFixed(0),
    ];
    console.log(`| ${cells.join(' | ')} |`);
  });
  service?.close();
}

/** So many connections from the attacker's address; each that closes is opened again. */
function holdConnections(target: Target, count: number, use: (socket: Socket) => void): () => void {
  const sockets = new Set<Socket>();
  let isOver = false;
  const open = (): void => {
    if (isOver) return;
    const socket = connect({ host: '127.0.0.1', port: target.port, localAddress: ATTACKER });
    sockets.add(socket);
    socket.once('connect', () => use(socket));
    socket.on('error', () => undefined);
    socket.once('close', () => {
      sockets.delete(socket);
      setTimeout(open, REOPEN_MS);
    });
  };
  for (let n = 0; n < count; n++) open();
  return () => {
    isOver = true;
    for (const socket of sockets) socket.destroy();
  };
}

/** Keeps so many requests under way. */
function repeat(count: number, sendOne: () => Promise<unknown>): () => void {
  let isOver = false;
  const loop = async (): Promise<void> => {
    while (!isOver) await sendOne();
  };
  for (let n = 0; n < count; n++) void loop();
  return () => {
    isOver = true;
  };
}

function inventedGroups(count: number): string {
  invented += count;
  return (
    TOKEN +
    Array.from({ length: count }, (_, n) => `&scope=repository:group-${invented + n}/app:pull`).join('')
  );
}

/** Knows one cell for every namespace, and takes 50 ms for each answer. */
async function startTopologyService() {
  const server = createServer(async (request, response) => {
    await text(request);
    await delay(50);
    response.writeHead(404).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
