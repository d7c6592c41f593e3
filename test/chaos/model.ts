import { newSecret } from '../support/directory/town.ts';
import type { Random } from '../support/random.ts';

export const USERS = ['ann', 'ben', 'cem', 'dee'] as const;
export const PROJECTS = ['town/one', 'town/two', 'town/three'] as const;
/** A public project: anonymous clients may pull from it. */
export const OPEN = 'town/open';
/** A user whose rights never change, for clients that don't know this model. */
export const STEADY = 'steady';
const ROLES = ['none', 'reporter', 'developer'] as const;

type User = (typeof USERS)[number];
type Role = (typeof ROLES)[number];

interface Token {
  readonly id: number;
  readonly user: User;
  readonly secret: string;
  readonly revoked: boolean;
}

/** One state of the directory. */
export interface State {
  /** The roles by user and project. */
  readonly roles: Readonly<Record<string, Role>>;
  readonly blocked: readonly User[];
  readonly tokens: readonly Token[];
}

export type Credential =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'wrong'; readonly username: string; readonly password: string }
  | { readonly kind: 'token'; readonly id: number; readonly password: string }
  | { readonly kind: 'password'; readonly user: User; readonly password: string };

/** The right answer to a request in one state. */
export type Expected = '401' | '403' | `200 ${string}`;

export function firstState(): State {
  const tokens = USERS.map((user, at) => ({ id: at + 1, user, secret: newSecret('glpat-'), revoked: false }));
  const roles = Object.fromEntries(
    USERS.flatMap((user) => PROJECTS.map((project, at) => [`${user} ${project}`, ROLES[at % ROLES.length]!])),
  );
  return { roles, blocked: [], tokens };
}

export function expectedOf(
  state: State,
  credential: Credential,
  project: string,
  actions: readonly string[],
): Expected {
  const user = userOf(state, credential);
  if (user === 'refused') return '401';
  const granted = actions.filter((action) => mayDo(state, user, project, action));
  if (user === null && granted.length === 0) return '403';
  return `200 ${granted.join()}`;
}

function userOf(state: State, credential: Credential): User | null | 'refused' {
  if (credential.kind === 'anonymous') return null;
  if (credential.kind === 'wrong') return 'refused';
  const token = credential.kind === 'token' ? state.tokens.find(({ id }) => id === credential.id) : undefined;
  if (credential.kind === 'token' && (token === undefined || token.revoked)) return 'refused';
  const user = credential.kind === 'token' ? token!.user : credential.user;
  return state.blocked.includes(user) ? 'refused' : user;
}

function mayDo({ roles }: State, user: User | null, project: string, action: string): boolean {
  if (project === OPEN) return action === 'pull';
  const role = user === null ? 'none' : (roles[`${user} ${project}`] ?? 'none');
  return role === 'developer' || (role === 'reporter' && action === 'pull');
}

/** A change at random: the next state, and the name of the change. */
export function changeState(state: State, random: Random): { readonly name: string; readonly next: State } {
  const kind = random.below(10);
  if (kind < 5) {
    const key = random.pick(Object.keys(state.roles));
    return {
      name: 'change a role',
      next: { ...state, roles: { ...state.roles, [key]: random.pick(ROLES) } },
    };
  }
  if (kind < 7) {
    // Two at most, so that most requests are granted.
    const user = random.pick(state.blocked.length < 2 ? USERS : state.blocked);
    const isBlocked = state.blocked.includes(user);
    const blocked = isBlocked ? state.blocked.filter((name) => name !== user) : [...state.blocked, user];
    return { name: isBlocked ? 'unblock a user' : 'block a user', next: { ...state, blocked } };
  }
  const live = state.tokens.filter(({ revoked }) => !revoked);
  if (kind < 9 && live.length > 2) {
    const victim = random.pick(live);
    const tokens = state.tokens.map((token) => (token === victim ? { ...token, revoked: true } : token));
    return { name: 'revoke a token', next: { ...state, tokens } };
  }
  const token = {
    id: state.tokens.length + 1,
    user: random.pick(USERS),
    secret: newSecret('glpat-'),
    revoked: false,
  };
  return { name: 'add a token', next: { ...state, tokens: [...state.tokens, token] } };
}

export interface Secrets {
  /** The secrets by user, including `STEADY`. */
  readonly passwords: Readonly<Record<string, string>>;
  readonly steadyToken: string;
}

/** The state as a directory document; users keep the secrets they were given first. */
export function documentOf(state: State, secrets: Secrets, withPasswords: boolean): string {
  const members = (project: string) =>
    USERS.flatMap((user) => {
      const role = state.roles[`${user} ${project}`];
      return role === undefined || role === 'none' ? [] : [{ user, role }];
    });
  return JSON.stringify({
    version: 1,
    users: [...USERS, STEADY].map((username) => ({
      username,
      state: state.blocked.some((name) => name === username) ? 'blocked' : 'active',
      ...(withPasswords && { password: secrets.passwords[username] }),
    })),
    groups: [{ path: 'town' }, { path: 'steadily' }],
    projects: [
      ...PROJECTS.map((path) => ({ path, visibility: 'private', members: members(path) })),
      { path: OPEN, visibility: 'public' },
      { path: 'steadily/app', visibility: 'private', members: [{ user: STEADY, role: 'developer' }] },
    ],
    access_tokens: [
      ...state.tokens.map(({ id, user, secret, revoked }) => ({
        ...{ id, name: `token ${id}`, kind: 'personal', user },
        ...{ scopes: ['api'], token: secret, revoked },
      })),
      {
        id: 1_000_000,
        name: 'steady',
        kind: 'personal',
        user: STEADY,
        scopes: ['api'],
        token: secrets.steadyToken,
      },
    ],
  });
}

/**
 * The states that may hold at a moment: usually one, more while a change is running or its outcome
 * is unknown.
 */
export interface Timeline {
  /** The newest state that was requested. */
  latest(): State;
  /** Notes that a change is being sent; the caller calls `settle` when the answer is known. */
  begin(next: State): { acknowledge(): void; refuse(): void };
  /** Every state that may have held at some moment since `sinceMs`. */
  since(sinceMs: number): readonly State[];
}

interface Span {
  readonly state: State;
  /** Until when the state may have held, by `performance.now()`; undefined: it still may. */
  untilMs: number | undefined;
}

export function createTimeline(first: State): Timeline {
  let spans: Span[] = [{ state: first, untilMs: undefined }];
  let latest = first;
  const forget = (): void => {
    const oldMs = performance.now() - 60_000;
    spans = spans.filter(({ untilMs }) => untilMs === undefined || untilMs > oldMs);
  };
  return {
    latest: () => latest,
    begin(next) {
      forget();
      const before = spans.filter(({ untilMs }) => untilMs === undefined);
      const span: Span = { state: next, untilMs: undefined };
      const previous = latest;
      spans.push(span);
      latest = next;
      return {
        acknowledge() {
          for (const old of before) old.untilMs = performance.now();
        },
        refuse() {
          span.untilMs = performance.now();
          latest = previous;
        },
      };
    },
    since: (sinceMs) =>
      spans.filter(({ untilMs }) => untilMs === undefined || untilMs >= sinceMs).map(({ state }) => state),
  };
}
