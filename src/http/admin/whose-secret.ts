import type { Middleware } from 'koa';
import type { CredentialRecords, JobRecord } from '../../authn/account.ts';
import { adminTokenDigest, isAdminTokenSecret } from '../../authn/admin-token.ts';
import { Secret } from '../../authn/secret.ts';
import type { SourceQuestion } from '../../authn/source.ts';
import { readRoutableToken } from '../../cells/routable-token.ts';
import { credentialName } from '../../policy/subject.ts';
import type { AdminToken } from '../../store/admin-tokens.ts';
import { printTokenId, type TokenKey } from '../../store/directory/token-id.ts';
import type { ListedToken } from '../../store/directory/tokens.ts';
import { readJson } from '../body.ts';
import type { Contract } from '../contract.ts';
import type { WhoseSecretView } from '../types.ts';
import type { TokenResource } from './tokens.ts';

export interface SecretResource {
  /** Whose secret this is, by the directory. Nothing is counted as an attempt or a use. */
  ask(question: SourceQuestion): Promise<CredentialRecords>;
  /** An admin token, also a revoked or expired one. Undefined: the secret is that of none. */
  findAdminToken(digest: Uint8Array): Promise<AdminToken | undefined>;
  now(): Date;
}

/**
 * Says whose secret this is. The body has the secret, so that no log of addresses has it. A secret
 * that is no token's, such as a password, is not identified.
 */
export function identifySecret(
  contract: Contract,
  secrets: SecretResource,
  tokens: Pick<TokenResource, 'list'>,
): Middleware {
  return async (ctx) => {
    ctx.set('Cache-Control', 'no-store');
    const { secret } = contract.parseSecretToIdentify(await readJson(ctx.req));
    const found = await identify(secret, secrets, tokens);
    ctx.body = (found === null ? { kind: null } : { ...found, ...cellOf(secret) }) satisfies WhoseSecretView;
  };
}

/** The answer about a secret that is known. */
type IdentifiedSecret = WhoseSecretView & Required<Pick<WhoseSecretView, 'id' | 'owner' | 'state'>>;

async function identify(
  text: string,
  { ask, findAdminToken, now }: SecretResource,
  tokens: Pick<TokenResource, 'list'>,
): Promise<IdentifiedSecret | null> {
  if (isAdminTokenSecret(text)) {
    const admin = await findAdminToken(adminTokenDigest(text));
    return admin === undefined ? null : fromAdminToken(admin, now());
  }
  const kinds = ['job', 'access_token', 'deploy_token'] as const;
  const { job, accessToken, deployToken } = await ask({ secret: new Secret(text), username: '', kinds });
  if (job !== null) return fromJob(job, now());
  const key = keyOf(accessToken, 'access') ?? keyOf(deployToken, 'deploy');
  const token = key && (await findToken(tokens, key));
  return token ? fromToken(token, now()) : null;
}

function keyOf(record: { readonly id: number } | null, table: TokenKey['table']): TokenKey | null {
  return record && { table, number: record.id };
}

async function findToken(
  tokens: Pick<TokenResource, 'list'>,
  { table, number }: TokenKey,
): Promise<ListedToken | undefined> {
  const page = await tokens.list({ after: { table, number: number - 1 }, limit: 1 });
  return page.tokens.find(({ key }) => key.table === table && key.number === number);
}

function fromToken(token: ListedToken, now: Date): IdentifiedSecret {
  const { kind, username, group, projects, identity, expiresAt, revoked, ownerState } = token;
  const end = expiresAt === null ? null : new Date(expiresAt);
  return {
    kind: identity === undefined ? kind : 'exchanged',
    id: printTokenId(token.key),
    owner: username,
    state: stateOf({ revoked, end, ownerState }, now),
    ...(projects.length > 0 && { projects: [...projects] }),
    ...(group !== null && { group }),
    ...(identity !== undefined && { identity }),
  };
}

function fromJob({ id, user, projectPath, running, expiresAt }: JobRecord, now: Date): IdentifiedSecret {
  const ownerState = user?.state ?? null;
  return {
    kind: 'job',
    id: credentialName('job', id),
    owner: user?.username ?? null,
    state: running ? stateOf({ revoked: false, end: expiresAt, ownerState }, now) : 'ended',
    projects: [projectPath],
  };
}

function fromAdminToken({ id, name, revokedAt, expiresAt }: AdminToken, now: Date): IdentifiedSecret {
  const life = { revoked: revokedAt !== null, end: expiresAt, ownerState: null };
  return { kind: 'admin', id: String(id), owner: name, state: stateOf(life, now) };
}

interface Life {
  readonly revoked: boolean;
  readonly end: Date | null;
  readonly ownerState: ListedToken['ownerState'];
}

/** The lasting cause first. */
function stateOf({ revoked, end, ownerState }: Life, now: Date): NonNullable<IdentifiedSecret['state']> {
  if (revoked) return 'revoked';
  if (end !== null && end <= now) return 'expired';
  return ownerState === null || ownerState === 'active' ? 'active' : `owner_${ownerState}`;
}

/** The cell that the secret names, which is this one unless the token came from another database. */
function cellOf(secret: string): { readonly cell?: number } {
  const reading = readRoutableToken(secret);
  const cell = reading.kind === 'routable' ? reading.routing.c : undefined;
  return cell === undefined ? {} : { cell: Number(cell) };
}
