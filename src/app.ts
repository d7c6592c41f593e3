import Router from '@koa/router';
import Koa, { type Middleware } from 'koa';
import { accessLog } from './http/access-log.ts';
import {
  type AdminTokenResource,
  createAdminToken,
  listAdminTokens,
  revokeAdminToken,
} from './http/admin/admin-tokens.ts';
import { type BackupResource, takeBackup } from './http/admin/backup.ts';
import { type DifferencesResource, listDifferences } from './http/admin/differences.ts';
import {
  applyDirectory,
  changeOne,
  type DirectoryResource,
  exportDirectory,
} from './http/admin/directory.ts';
import { type ExplainResource, explain, explainRequest } from './http/admin/explain.ts';
import { type FederationResource, federationRoutes } from './http/admin/federation.ts';
import { type HistoryResource, listHistory, undoChange } from './http/admin/history.ts';
import { adminBySocket, adminByToken, requireRole } from './http/admin/identify.ts';
import { type IssuedTokenResource, listIssuedTokens } from './http/admin/issued-tokens.ts';
import { deleteJobToken, type JobTokenResource, putJobToken } from './http/admin/job-tokens.ts';
import { keyRoutes } from './http/admin/keys.ts';
import { clearLockouts, type LockoutResource, listLockouts } from './http/admin/lockouts.ts';
import { refuseUnknownParameters } from './http/admin/parameters.ts';
import { whatCan } from './http/admin/questions/what-can.ts';
import { type QuestionResource, whoCan } from './http/admin/questions/who-can.ts';
import { listRefusals, type RefusalResource } from './http/admin/refusals.ts';
import { listTokens, mintToken, revokeToken, type TokenResource } from './http/admin/tokens.ts';
import { identifySecret, type SecretResource } from './http/admin/whose-secret.ts';
import type { ReadClientAddress } from './http/client-address.ts';
import type { Contract } from './http/contract.ts';
import { errorHandler } from './http/error-handler.ts';
import { health, type Readiness, readiness } from './http/health.ts';
import { jwkSet, tokenCa } from './http/jwks.ts';
import { endConnections } from './http/listener/drain.ts';
import { type MetricsReport, metrics } from './http/metrics/report.ts';
import type { RequestMetrics } from './http/metrics/requests.ts';
import { normalPath } from './http/normal-path.ts';
import { notFound } from './http/not-found.ts';
import { requestContext } from './http/request-context.ts';
import type { RequestState } from './http/request-state.ts';
import { refuseUnreadableTarget } from './http/request-target.ts';
import { preflight } from './http/token/cors.ts';
import { type TokenEndpoint, tokenEndpoint } from './http/token/endpoint.ts';
import { TOKEN_PATHS } from './http/token/paths.ts';
import { observeAll, type TokenRecords, tokenObservers } from './http/token/records.ts';
import type { Keyring } from './keys/keyring.ts';
import type { Log } from './log.ts';
import type { RevocationFile } from './records/revocation-file.ts';
import type { AuthorityOperations } from './rotation/authorities.ts';
import type { KeyOperations } from './rotation/keys.ts';

interface Common {
  readonly keyring: Keyring;
  readonly propagationSeconds: number;
  readonly readiness: Readiness;
  readonly log: Log;
  readonly requests: Pick<RequestMetrics, 'count'>;
  readonly readClientAddress: ReadClientAddress;
  readonly now: () => Date;
}

export interface PublicDeps extends Common, TokenRecords {
  readonly token: TokenEndpoint;
}

export interface AdminDeps extends Common {
  readonly contract: Contract;
  readonly directory: DirectoryResource;
  readonly jobTokens: JobTokenResource;
  readonly tokens: TokenResource;
  readonly secrets: SecretResource;
  readonly issuedTokens: IssuedTokenResource;
  readonly keys: KeyOperations;
  readonly authorities: AuthorityOperations;
  readonly explain: ExplainResource;
  readonly questions: QuestionResource;
  readonly differences: DifferencesResource;
  readonly refusalList: RefusalResource;
  readonly federation: FederationResource | null;
  readonly metrics: MetricsReport;
  readonly history: HistoryResource;
  readonly lockouts: LockoutResource;
  readonly adminTokens: AdminTokenResource;
  readonly backups: BackupResource;
  readonly revocations: RevocationFile;
}

/** The public API, for registries and their clients. */
export function createApp(deps: PublicDeps): Koa<RequestState> {
  const token = tokenEndpoint(deps.token, observeAll(tokenObservers(deps), deps.log));
  const router = new Router<RequestState>({ strict: true, sensitive: true });
  const { corsOrigins } = deps.token;
  for (const path of TOKEN_PATHS) {
    router.get(path, token);
    router.post(path, token);
    if (corsOrigins.size > 0) router.options(path, preflight(corsOrigins));
  }
  addCommonRoutes(router, deps);
  return assemble(router, deps, normalPath);
}

/** The admin API on the admin socket, which only admins can open. */
export function createAdminApp(deps: AdminDeps): Koa<RequestState> {
  return assemble(adminRouter(deps), deps, adminBySocket, refuseUnknownParameters(deps.contract));
}

/** The admin API over TCP: every path needs an admin token. */
export function createRemoteAdminApp(deps: AdminDeps): Koa<RequestState> {
  const parameters = refuseUnknownParameters(deps.contract);
  const role = requireRole(deps.contract);
  return assemble(adminRouter(deps), deps, adminByToken(deps.adminTokens), role, parameters);
}

function adminRouter(deps: AdminDeps): Router<RequestState> {
  const router = new Router<RequestState>({ strict: true, sensitive: true });
  router.get('/admin/v1/directory', exportDirectory(deps.directory));
  router.post('/admin/v1/directory', applyDirectory(deps.contract, deps.directory, deps));
  router.post('/admin/v1/directory/changes', changeOne(deps.contract, deps.directory));
  router.get('/admin/v1/history', listHistory(deps.contract, deps.history));
  router.post('/admin/v1/history/:id/undo', undoChange(deps.contract, deps.history, deps.revocations));
  router.put('/admin/v1/job-tokens/:id', putJobToken(deps.contract, deps.jobTokens));
  router.delete('/admin/v1/job-tokens/:id', deleteJobToken(deps.contract, deps.jobTokens));
  router.get('/admin/v1/tokens', listTokens(deps.contract, deps.tokens, deps.questions));
  router.post('/admin/v1/tokens', mintToken(deps.contract, deps.tokens));
  router.post('/admin/v1/tokens/identify', identifySecret(deps.contract, deps.secrets, deps.tokens));
  router.post('/admin/v1/tokens/:id/revoke', revokeToken(deps.tokens, deps.revocations));
  router.get('/admin/v1/issued-tokens', listIssuedTokens(deps.contract, deps.issuedTokens));
  router.get('/admin/v1/lockouts', listLockouts(deps.contract, deps.lockouts));
  router.post('/admin/v1/lockouts/clear', clearLockouts(deps.contract, deps.lockouts));
  addKeyRoutes(router, deps);
  addFederationRoutes(router, deps);
  router.post('/admin/v1/explain', explain(deps.contract, deps.explain));
  router.get('/admin/v1/refusals', listRefusals(deps.contract, deps.refusalList));
  router.get('/admin/v1/who-can', whoCan(deps.contract, deps.questions));
  router.get('/admin/v1/what-can', whatCan(deps.contract, deps.questions));
  router.get('/admin/v1/refusals/:id', explainRequest(deps.contract, deps.explain));
  router.get('/admin/v1/gitlab/differences', listDifferences(deps.contract, deps.differences));
  router.get('/admin/v1/admin-tokens', listAdminTokens(deps.adminTokens));
  router.post('/admin/v1/admin-tokens', createAdminToken(deps.contract, deps.adminTokens));
  router.post(
    '/admin/v1/admin-tokens/:id/revoke',
    revokeAdminToken(deps.contract, deps.adminTokens, deps.revocations),
  );
  router.get('/admin/v1/backup', takeBackup(deps.backups));
  router.get('/metrics', metrics(deps.metrics));
  router.get('/openapi.json', (ctx) => {
    ctx.body = deps.contract.document;
  });
  addCommonRoutes(router, deps);
  return router;
}

/** Metrics for Prometheus, on a listener that asks for no token. */
export function createMetricsApp(deps: ListenerDeps & Pick<AdminDeps, 'metrics'>): Koa<RequestState> {
  const router = new Router<RequestState>({ strict: true, sensitive: true });
  router.get('/metrics', metrics(deps.metrics));
  router.get('/healthz', health);
  return assemble(router, deps);
}

function addKeyRoutes(router: Router<RequestState>, deps: AdminDeps): void {
  const routes = keyRoutes(deps.contract, deps);
  router.get('/admin/v1/keys', routes.list);
  router.get('/admin/v1/keys/history', routes.history);
  router.get('/admin/v1/keys/certificate', routes.certificate);
  router.post('/admin/v1/keys/stage', routes.stage);
  router.post('/admin/v1/keys/activate', routes.activate);
  router.post('/admin/v1/keys/rotate', routes.rotate);
  router.post('/admin/v1/keys/retire', routes.retire);
  router.post('/admin/v1/keys/revoke', routes.revoke);
  router.post('/admin/v1/keys/import', routes.import);
  router.post('/admin/v1/keys/probe', routes.probe);
  router.post('/admin/v1/keys/rewrap', routes.rewrap);
  router.post('/admin/v1/authorities/stage', routes.stageAuthority);
  router.post('/admin/v1/authorities/import', routes.importAuthority);
  router.post('/admin/v1/authorities/activate', routes.activateAuthority);
  router.post('/admin/v1/authorities/discard', routes.discardAuthority);
}

function addFederationRoutes(router: Router<RequestState>, deps: AdminDeps): void {
  const routes = federationRoutes(deps.contract, deps.federation, deps.revocations);
  router.get('/admin/v1/federation/issuers', routes.issuers);
  router.get('/admin/v1/federation/identities', routes.identities);
  router.post('/admin/v1/federation/identities/:name/revoke', routes.revoke);
  router.post('/admin/v1/federation/identities/:name/restore', routes.restore);
  router.post('/admin/v1/federation/id-tokens/revoke', routes.revokeIdToken);
}

function addCommonRoutes(router: Router<RequestState>, deps: Common): void {
  router.get('/.well-known/jwks.json', jwkSet(deps.keyring, deps.propagationSeconds));
  router.get('/.well-known/token-ca.pem', tokenCa(deps.keyring));
  router.get('/healthz', health);
  router.get('/readyz', readiness(deps.readiness));
}

/** Needed by every listener. */
type ListenerDeps = Omit<Common, 'keyring' | 'propagationSeconds' | 'readiness'>;

function assemble(
  router: Router<RequestState>,
  deps: ListenerDeps & Partial<Pick<Common, 'readiness'>>,
  ...beforeRoutes: readonly Middleware<RequestState>[]
): Koa<RequestState> {
  const { log, requests, readiness } = deps;
  const app = new Koa<RequestState>();
  // Koa's own handler sees only clients that went away while they were answered.
  app.on('error', (error) => log.debug({ err: error }, 'connection error'));
  app.use(requestContext(deps.readClientAddress, deps.now));
  app.use(accessLog(log));
  app.use(requests.count);
  if (readiness !== undefined) app.use(endConnections(readiness.isDraining));
  app.use(errorHandler());
  app.use(refuseUnreadableTarget);
  for (const middleware of beforeRoutes) app.use(middleware);
  app.use(router.routes());
  app.use(notFound);
  return app;
}
