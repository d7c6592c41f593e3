import { readToken } from '../../comparison/answer.ts';
import type { Config, RegistrySettings } from '../../config/load.ts';
import type { RailsSettings } from '../../config/rails.ts';
import { tokenOf } from '../../http/token/rails/client.ts';
import { HOP_HEADER, RAILS_HOP } from '../../http/token/request.ts';
import { readPublicProjects } from '../../store/source/gitlab/inspection.ts';
import { type ClockTolerance, judgeClock } from './clocks.ts';
import { describeFailure } from './connection.ts';
import { check, checkWithValue, type Finding, failed, named, ok, type Verdict, warning } from './finding.ts';
import { publicUrlOf } from './public-url.ts';

/** Rails' tokens and cellpass's are used one after the other by the same registry. */
const RAILS_CLOCK: ClockTolerance = { warnSeconds: 5, failSeconds: 60 };
const TIMEOUT_MS = 5000;
/** HTTP dates have whole seconds, rounded down. */
const HALF_SECOND_MS = 500;

/** Looks at GitLab Rails beside this server, and at the way of clients to both. Never throws. */
export async function checkRails(
  config: Config,
  { url }: RailsSettings,
  now: () => Date,
): Promise<readonly Finding[]> {
  const [service] = config.services;
  const looked = await checkWithValue('rails', async () => {
    const projects = await findPublicProjects(config);
    const asked = { service: service?.name ?? '', projects };
    const answer = await askAnonymously(url, asked, now).catch((error: unknown) => {
      const cause = describeFailure(error);
      throw cause === null ? error : new Error(`${url} can't be reached: ${cause}`);
    });
    return { value: answer, verdict: judgeAnswer(url, answer) };
  });
  const { finding, value: answer } = looked;
  if (answer === undefined || finding.outcome === 'failed') return [finding];
  const token = tokenOf(answer.body);
  return [
    finding,
    ...(answer.aheadSeconds === null
      ? []
      : [named('rails clock', judgeClock("Rails'", answer.aheadSeconds, RAILS_CLOCK))]),
    named('rails issuer', judgeIssuer(token, config.issuer)),
    await check('rails client addresses', () => judgeForwardedFor(url)),
    ...(await Promise.all(config.registries.map((registry) => checkRailsToken(registry, token)))),
    ...(await checkPaths(config)),
  ];
}

interface RailsLook {
  readonly status: number;
  readonly contentType: string;
  readonly body: Buffer;
  /** How far its clock is ahead of ours; null without a `Date` header. */
  readonly aheadSeconds: number | null;
}

/** Some that everybody may pull from, so that Rails gives a token. */
async function findPublicProjects({ gitlab }: Config): Promise<readonly string[]> {
  if (gitlab === null) return [];
  const { openPostgres } = await import('../../store/database/postgres.ts');
  const database = openPostgres(gitlab.databaseUrl, {
    onlyReads: true,
    pipelinedConnections: 0,
    maxConnections: 1,
  });
  // GitLab's database has findings of its own.
  const found = readPublicProjects(database).catch(() => []);
  return found.finally(() => database.close());
}

async function askAnonymously(
  url: string,
  { service, projects }: { readonly service: string; readonly projects: readonly string[] },
  now: () => Date,
): Promise<RailsLook> {
  const query = new URLSearchParams({ service });
  const names = projects.length === 0 ? ['cellpass/check'] : projects;
  for (const name of names) query.append('scope', `repository:${name}:pull`);
  const before = now().getTime();
  const response = await fetch(`${url}/jwt/auth?${query}`, {
    redirect: 'manual',
    headers: { [HOP_HEADER]: RAILS_HOP, Accept: 'application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const ours = (before + now().getTime()) / 2;
  const theirs = Date.parse(response.headers.get('Date') ?? '') + HALF_SECOND_MS;
  return {
    status: response.status,
    contentType: response.headers.get('Content-Type') ?? '',
    body: Buffer.from(await response.arrayBuffer()),
    aheadSeconds: Number.isNaN(theirs) ? null : (theirs - ours) / 1000,
  };
}

function judgeAnswer(url: string, { status, contentType, body }: RailsLook): Verdict {
  const place = `${url}/jwt/auth`;
  if (body.includes('CELLPASS_GITLAB_RAILS_URL')) {
    return failed(`${place} leads to cellpass itself: name the address of Rails, behind any proxy`);
  }
  if (status >= 300 && status < 400) {
    return failed(`${place} redirects, which cellpass does not follow: name the address that it leads to`);
  }
  const isJson = /^application\/json\b/i.test(contentType);
  if (status >= 500 || !isJson || status === 404) {
    return failed(
      `${place} answers ${status} (${contentType || 'no type'}), which is no answer of Rails: correct CELLPASS_GITLAB_RAILS_URL`,
    );
  }
  return ok(`answers at ${place} (${status} to a client without credentials)`);
}

function judgeIssuer(token: string | null, issuer: string): Verdict {
  if (token === null) {
    return warning(
      `Rails gives clients without credentials no token, so its issuer can't be seen: it must be ${issuer}, as CELLPASS_ISSUER says ("gitlab_rails['registry_issuer']", "registry.issuer")`,
    );
  }
  const theirs = issuerOf(token);
  if (theirs === issuer) return ok(`both sign as ${issuer}`);
  return failed(
    `Rails signs as ${theirs ?? '(none)'} and cellpass as ${issuer}, and a registry takes one issuer: set CELLPASS_ISSUER to that of Rails`,
  );
}

function issuerOf(token: string): string | null {
  if (readToken(token) === null) return null;
  const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
  const hasIssuer = typeof claims === 'object' && claims !== null && 'iss' in claims;
  return hasIssuer ? String(claims.iss) : null;
}

/** An address for documents (RFC 5737), which is in no list of monitoring hosts. */
const NO_MONITOR = '192.0.2.1';

/**
 * GitLab shows its readiness to listed addresses alone, such as this machine's. Where it is shown
 * here, but not to another address that this machine names, Rails believes what it is told.
 */
async function judgeForwardedFor(url: string): Promise<Verdict> {
  const ask = async (headers: Readonly<Record<string, string>>): Promise<number> => {
    const response = await fetch(`${url}/-/readiness`, {
      redirect: 'manual',
      headers,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    return response.status;
  };
  const [plain, forwarded] = await Promise.all([ask({}), ask({ 'X-Forwarded-For': NO_MONITOR })]);
  if (plain === 200 && forwarded === 404) return ok('Rails takes them from X-Forwarded-For');
  if (plain === 200 && forwarded === 200) {
    return failed(
      "Rails does not believe X-Forwarded-For from here, so that one ban hits everybody: add this machine to gitlab_rails['trusted_proxies']",
    );
  }
  return warning(
    `whether Rails believes X-Forwarded-For from here can't be seen (/-/readiness answers ${plain} and ${forwarded}): see in its production_json.log that remote_ip is the client's, else one ban hits everybody`,
  );
}

/** Rails' own calls of the registry need its certificate there, too. */
function checkRailsToken({ name, url }: RegistrySettings, token: string | null): Promise<Finding> {
  return check(`registry ${name}, key of Rails`, async () => {
    if (token === null) {
      return warning(
        "Rails gave no token that the registry could be asked with: see that its certificate is still in the registry's rootcertbundle, because GitLab's own calls need it",
      );
    }
    const response = await fetch(`${url}/v2/`, {
      redirect: 'manual',
      headers: { Authorization: `Bearer ${token}` },
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    await response.body?.cancel();
    if (response.status === 200) return ok('the registry accepts the tokens of Rails, too');
    return failed(
      `the registry answers ${response.status} to a token of Rails, so GitLab's own calls fail: put Rails' certificate and cellpass's CA into its rootcertbundle`,
    );
  });
}

/** Spellings that clients and proxies make of the path of the realm. */
const SPELLINGS = ['/jwt/auth/', '//jwt/auth'] as const;

async function checkPaths(config: Config): Promise<readonly Finding[]> {
  const url = publicUrlOf(config);
  if (url === null) return [];
  return Promise.all(
    SPELLINGS.map((path) =>
      check(`path ${path}`, async () => {
        const response = await fetch(`${url}${path}?service=${config.services[0]?.name ?? ''}`, {
          redirect: 'manual',
          signal: AbortSignal.timeout(TIMEOUT_MS),
        }).catch(() => undefined);
        await response?.body?.cancel();
        if (response === undefined) return warning(`cellpass does not answer at ${url} yet`);
        const isTaken = response.headers.get('X-Request-Id') !== null && response.status < 404;
        if (isTaken) return ok('leads to cellpass, too');
        return failed(
          `${url}${path} answers ${response.status}, not as cellpass: let the proxy forward it unchanged, without a redirect`,
        );
      }),
    ),
  );
}
