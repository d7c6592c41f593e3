import { type Dispatcher, Pool } from 'undici';
import { newSecret } from '../support/directory/town.ts';
import type { Random } from '../support/random.ts';
import type { Issued } from './issued.ts';
import type { Journal } from './journal.ts';
import { type Credential, expectedOf, OPEN, PROJECTS, type Secrets, type Timeline, USERS } from './model.ts';
import { type Replica, SERVICE } from './world.ts';

/** Every answer must come within this time; the servers promise 2 s, but the machine is shared. */
const BOUND_MS = 2500;
/**
 * A process that ends loses the requests that are on their way to it, a little before and after,
 * too.
 */
const LOSS_MS = 3000;
/** The client's timeout. */
const LONGEST_WAIT_MS = 10_000;
const PAUSE_MS = 20;
const REQUEST_ID = /request [0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ACTIONS = [['pull'], ['pull', 'push']] as const;

export interface ClientOptions {
  readonly replicas: readonly Replica[];
  readonly timeline: Timeline;
  readonly secrets: Secrets;
  readonly random: Random;
  readonly journal: Journal;
  readonly issued: Issued;
  /** When the last fault ended, by `performance.now()`; Infinity while one is active. */
  readonly disturbedAtMs: () => number;
}

export interface Clients {
  /** The times of the answers, in milliseconds. */
  readonly durations: readonly number[];
  stop(): Promise<void>;
}

/**
 * Clients that ask for tokens with any credential of the model, and compare each answer with the
 * model.
 */
export function startClients(count: number, options: ClientOptions): Clients {
  const durations: number[] = [];
  let stopped = false;
  const pools = new Map(
    options.replicas.map(({ url }) => [
      url,
      new Pool(url, { connections: count, headersTimeout: LONGEST_WAIT_MS }),
    ]),
  );
  const loop = async (): Promise<void> => {
    while (!stopped) {
      const replica = options.random.pick(options.replicas);
      await visit(replica, pools.get(replica.url)!, options, durations);
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  };
  const loops = Array.from({ length: count }, loop);
  return {
    durations,
    async stop() {
      stopped = true;
      await Promise.all(loops);
      await Promise.all([...pools.values()].map((pool) => pool.destroy()));
    },
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly body: string;
}

async function visit(
  replica: Replica,
  pool: Pool,
  options: ClientOptions,
  durations: number[],
): Promise<void> {
  const { random, journal, timeline } = options;
  const credential = pickCredential(options);
  const project = random.pick([...PROJECTS, OPEN]);
  const actions = random.pick(ACTIONS);
  const sentMs = performance.now();
  const answer = await send(pool, requestOf(credential, project, actions, random.next() < 0.3));
  const tookMs = performance.now() - sentMs;
  const about = {
    replica: replica.name,
    credential: describe(credential),
    project,
    actions,
    tookMs: Math.round(tookMs),
  };
  if (typeof answer === 'string') {
    journal.count('no answer');
    if (replica.awayAtMs < sentMs - LOSS_MS)
      journal.violate('no answer of a server that is there', { ...about, answer });
    return;
  }
  durations.push(tookMs);
  journal.count(`answer ${answer.status}`);
  if (tookMs > BOUND_MS) journal.violate('an answer took too long', { ...about, status: answer.status });
  if (answer.status === 503) {
    assertErrorBody(answer, journal, about);
    if (options.disturbedAtMs() < sentMs - LOSS_MS) journal.count('503 without a fault');
    return;
  }
  const expected = new Set(
    timeline.since(sentMs).map((state) => expectedOf(state, credential, project, actions)),
  );
  const got = await readAnswer(answer, replica, options, about);
  if (got !== undefined && ![...expected].some((outcome) => outcome === got)) {
    journal.violate('a wrong answer', { ...about, got, expected: [...expected] });
  }
}

/** The answer in the model's terms. */
async function readAnswer(
  answer: Answer,
  replica: Replica,
  { journal, issued }: ClientOptions,
  about: object,
): Promise<string | undefined> {
  if (answer.status !== 200) {
    assertErrorBody(answer, journal, about);
    return String(answer.status);
  }
  const { token } = JSON.parse(answer.body) as { readonly token: string };
  const verified = await issued.verify(token, replica);
  if (verified === undefined) return undefined;
  return `200 ${verified.access.flatMap(({ actions }) => actions).join()}`;
}

function pickCredential({ random, timeline, secrets }: ClientOptions): Credential {
  const kind = random.below(20);
  if (kind < 2) return { kind: 'anonymous' };
  if (kind < 4) return { kind: 'wrong', username: random.pick(USERS), password: newSecret('glpat-') };
  if (kind < 5) return { kind: 'wrong', username: random.pick(USERS), password: 'guessed' };
  if (kind < 7) {
    const user = random.pick(USERS);
    return { kind: 'password', user, password: secrets.passwords[user]! };
  }
  const { tokens } = timeline.latest();
  const live = tokens.filter(({ revoked }) => !revoked);
  const { id, secret } = random.pick(random.below(4) === 0 ? tokens : live);
  return { kind: 'token', id, password: secret };
}

function describe(credential: Credential): string {
  switch (credential.kind) {
    case 'token':
      return `token ${credential.id}`;
    case 'password':
      return `password of ${credential.user}`;
    default:
      return credential.kind;
  }
}

function requestOf(
  credential: Credential,
  project: string,
  actions: readonly string[],
  asForm: boolean,
): Dispatcher.RequestOptions {
  const scope = `repository:${project}:${actions.join()}`;
  if (credential.kind === 'anonymous') {
    const query = new URLSearchParams({ service: SERVICE, scope });
    return { method: 'GET', path: `/jwt/auth?${query}` };
  }
  const username =
    'username' in credential ? credential.username : 'user' in credential ? credential.user : 'any';
  const { password } = credential;
  if (asForm) {
    const form = { grant_type: 'password', client_id: 'chaos', service: SERVICE, scope, username, password };
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { method: 'POST', path: '/jwt/auth', headers, body: new URLSearchParams(form).toString() };
  }
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  const query = new URLSearchParams({ service: SERVICE, scope });
  return { method: 'GET', path: `/jwt/auth?${query}`, headers: { authorization } };
}

/** The client's error as text, for a request without an answer. */
async function send(pool: Pool, options: Dispatcher.RequestOptions): Promise<Answer | string> {
  try {
    const { statusCode, headers, body } = await pool.request(options);
    return { status: statusCode, headers, body: await body.text() };
  } catch (error) {
    return String(error);
  }
}

function assertErrorBody({ status, headers, body }: Answer, journal: Journal, about: object): void {
  const problems: string[] = [];
  try {
    const [error, ...others] = JSON.parse(body).errors;
    if (others.length > 0 || Object.keys(error).join() !== 'code,message,detail') problems.push('form');
    if (!REQUEST_ID.test(error.detail)) problems.push('no request id');
  } catch {
    problems.push('no JSON');
  }
  if (!String(headers['content-type']).startsWith('application/json')) problems.push('content type');
  if (status === 503 && !/^[1-9]\d*$/.test(String(headers['retry-after']))) problems.push('no Retry-After');
  if ((status === 401) !== (headers['www-authenticate'] !== undefined)) problems.push('WWW-Authenticate');
  if (problems.length > 0) journal.violate('an improper error', { ...about, status, body, problems });
}
