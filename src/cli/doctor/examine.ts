import { X509Certificate } from 'node:crypto';
import { withOwnIssuer } from '../../cells/own-issuer.ts';
import { type Config, loadConfig } from '../../config/load.ts';
import { describeUnknownVariable } from '../../config/sources.ts';
import { warnOfUnencrypted } from '../../config/unencrypted.ts';
import { readTls } from '../../http/listener/server.ts';
import { activeKey } from '../../keys/key-set.ts';
import { registriesOfOneKey } from '../../rotation/known-registries.ts';
import { adminSocketPath } from '../../server/socket-path.ts';
import type { Terminal } from '../../terminal.ts';
import { checkDatabase } from './database.ts';
import { checkFederation } from './federation.ts';
import { check, checkWithValue, type Finding, failed, named, ok, type Verdict, warning } from './finding.ts';
import { checkGitlab } from './gitlab.ts';
import { checkKeys } from './key-checks.ts';
import { comparePublishedKeys, judgePublicUrl, lookForCellpass, publicUrlOf, realmOf } from './public-url.ts';
import { checkRails } from './rails.ts';
import { checkCanaries, checkRegistries, judgeSchedule } from './registries.ts';
import { askRunningServer } from './running-server.ts';
import type { StoredState } from './stored-state.ts';

const TLS_NOTICE_DAYS = 14;
const DAY_MS = 24 * 60 * 60 * 1000;

/** Runs all checks; a mistake comes before the mistakes that it causes. Never throws. */
export async function examine(given: Terminal, now: () => Date): Promise<readonly Finding[]> {
  const terminal = onThisHost(given);
  const { finding, value: config } = await checkWithValue('configuration', async () => {
    const read = withOwnIssuer(loadConfig(terminal.environment));
    // A path that is too long for a socket is a mistake in the settings, too.
    adminSocketPath(read);
    return { value: read, verdict: judgeUnknown(read.unknownVariables) };
  });
  if (config === undefined) return [finding];
  const stored = await readStoredState(terminal, config, now);
  const keys = stored.keys === undefined ? [] : checkKeys(stored.keys, { ...config.keys, now: now() });
  return [
    finding,
    ...warnOfUnencrypted(config).map((sentence) => named('encryption', warning(sentence))),
    ...stored.findings,
    ...keys,
    ...(await checkBesides(config, now)),
    ...(config.federation === null ? [] : await checkFederation(terminal, config.federation, now)),
    ...(await checkAddress(config, stored, now)),
    ...(await checkRegistries(config.registries, realmOf(config), now)),
    ...(await checkCanaries(config, stored.signingKeys, now)),
    ...(config.registries.length === 0
      ? []
      : [named('scheduled rotation', judgeSchedule(registriesOfOneKey(config), config.keys))]),
  ];
}

/** The checks are about the server whose settings these are, not about one that is managed from here. */
function onThisHost(terminal: Terminal): Terminal {
  return { ...terminal, environment: { ...terminal.environment, CELLPASS_ADMIN_URL: undefined } };
}

/**
 * What `gitlab check` shows: GitLab's databases and, with Rails beside this server, the way of
 * clients to both. Never throws.
 */
export async function examineGitlab(
  terminal: Terminal,
  config: Config,
  now: () => Date,
): Promise<readonly Finding[]> {
  const besides = await checkBesides(config, now);
  if (config.rails === null) return besides;
  const { signingKeys } = await readStoredState(terminal, config, now);
  return [
    ...besides,
    ...(await checkRegistries(config.registries, realmOf(config), now)),
    ...(await checkCanaries(config, signingKeys, now)),
  ];
}

async function checkBesides(config: Config, now: () => Date): Promise<readonly Finding[]> {
  const { gitlab, rails } = config;
  return [
    ...(gitlab === null ? [] : await checkGitlab(gitlab, { now, hasRails: rails !== null })),
    ...(rails === null ? [] : await checkRails(config, rails, now)),
  ];
}

function judgeUnknown(names: readonly string[]): Verdict {
  if (names.length === 0) return ok('every setting is valid');
  return warning(
    `cellpass has no such settings, and ignores them: ${names.map(describeUnknownVariable).join(', ')}; correct or unset them`,
  );
}

/** A running server holds the embedded database, so the checks ask the server instead. */
async function readStoredState(terminal: Terminal, config: Config, now: () => Date): Promise<StoredState> {
  const running = config.databaseUrl === null ? await askRunningServer(terminal, config) : undefined;
  return running ?? checkDatabase(config, now);
}

async function checkAddress(
  config: Config,
  stored: StoredState,
  now: () => Date,
): Promise<readonly Finding[]> {
  const { tls } = config;
  const url = publicUrlOf(config);
  return [
    ...(tls === null ? [] : [await check('TLS certificate', () => judgeTls(readTls(tls).cert, now()))]),
    await check('public URL', () => judgePublicUrl(config)),
    ...(url === null ? [] : await checkAnswers(url, stored)),
  ];
}

async function checkAnswers(url: string, { keys }: StoredState): Promise<readonly Finding[]> {
  const answer = await check('public URL answer', () => lookForCellpass(url));
  const active = keys && activeKey(keys.listing);
  if (answer.outcome !== 'ok' || active === undefined) return [answer];
  return [answer, await check('public URL keys', () => comparePublishedKeys(url, active.kid))];
}

/** @param pem the certificates of the listener, its own first. */
export function judgeTls(pem: string, now: Date): Verdict {
  const notAfter = new Date(new X509Certificate(pem).validTo);
  const renew = 'renew it, and reload the server with SIGHUP';
  if (notAfter <= now) return failed(`CELLPASS_TLS_CERT expired ${notAfter.toISOString()}: ${renew}`);
  if (notAfter.getTime() - now.getTime() < TLS_NOTICE_DAYS * DAY_MS) {
    return warning(`CELLPASS_TLS_CERT expires ${notAfter.toISOString()}: ${renew}`);
  }
  return ok(`valid until ${notAfter.toISOString()}`);
}
