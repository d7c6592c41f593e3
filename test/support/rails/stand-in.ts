import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http';
import { text } from 'node:stream/consumers';

/** A request as a stand-in for GitLab Rails got it. */
interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface RawAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Buffer;
}

/** `hang`: there is no answer. `reset`: the connection breaks. */
export type RailsBehaviour = (request: SeenRequest) => RawAnswer | 'hang' | 'reset' | Promise<RawAnswer>;

/** A server in the place of GitLab Rails' `/jwt/auth`. */
export interface RailsStandIn {
  readonly url: string;
  /** Since the last `forget`. */
  readonly seen: readonly SeenRequest[];
  /** From now on. */
  behave(behaviour: RailsBehaviour): void;
  forget(): void;
  close(): Promise<void>;
}

export async function startRailsStandIn(
  first: RailsBehaviour = () => ({ status: 500 }),
): Promise<RailsStandIn> {
  let behaviour = first;
  let seen: SeenRequest[] = [];
  const server = createServer((request, response) => {
    void (async () => {
      const one = {
        method: request.method ?? '',
        target: request.url ?? '',
        headers: request.headers,
        body: await text(request),
      };
      seen.push(one);
      const answer = await behaviour(one);
      if (answer === 'hang') return;
      if (answer === 'reset') {
        request.socket.resetAndDestroy();
        return;
      }
      response.writeHead(answer.status, answer.headers).end(answer.body);
    })();
  });
  const url = await listenOnLoopback(server);
  return {
    url,
    get seen() {
      return seen;
    },
    behave: (next) => {
      behaviour = next;
    },
    forget: () => {
      seen = [];
    },
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function listenOnLoopback(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return `http://127.0.0.1:${address.port}`;
}

/** Rails answers no POST: clients then repeat it as a GET. */
const EMPTY_404 = { status: 404 } as const;

/**
 * Answers as another server does, such as one on the same GitLab's database with keys of its own, in
 * the form of Rails.
 * @param url of that server's token endpoint, less `/jwt/auth`.
 */
export function likeServer(
  url: string,
  change: (answer: RawAnswer) => RawAnswer = (answer) => answer,
): RailsBehaviour {
  return async ({ method, target, headers }) => {
    if (method !== 'GET') return EMPTY_404;
    const response = await fetch(`${url}${target}`, {
      headers: {
        ...(headers.authorization !== undefined && { Authorization: headers.authorization }),
        ...(headers['x-forwarded-for'] !== undefined && {
          'X-Forwarded-For': String(headers['x-forwarded-for']),
        }),
      },
      redirect: 'manual',
    });
    const type = response.headers.get('content-type');
    return change({
      status: response.status,
      headers: type === null ? {} : { 'Content-Type': type },
      body: Buffer.from(await response.arrayBuffer()),
    });
  };
}

/** A token of Rails with these claims; nobody checks its signature here. */
export function railsToken(claims: object): RawAnswer {
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const token = `${encode({ alg: 'RS256', typ: 'JWT' })}.${encode(claims)}.c2lnbmF0dXJl`;
  return json(200, { token });
}

export function json(status: number, body: object): RawAnswer {
  return {
    status,
    headers: { 'Content-Type': 'application/json; charset=utf-8' },
    body: JSON.stringify(body),
  };
}
