import { X509Certificate } from 'node:crypto';
import { type Config, loadConfig } from '../../config/load.ts';
import { readTls } from '../../http/listener/server.ts';
import { activeKey } from '../../keys/key-set.ts';
import { adminSocketPath } from '../../server/socket-path.ts';
import type { Terminal } from '../../terminal.ts';
import { checkDatabase } from './database.ts';
import { check, checkAndKeep, type Finding, failed, ok, type Verdict, warning } from './finding.ts';
import type { Kept } from './kept.ts';
import { checkKeys } from './key-checks.ts';
import { comparePublishedKeys, judgePublicUrl, lookForCellpass, publicUrlOf, realmOf } from './public-url.ts';
import { checkCanaries, checkRegistries } from './registries.ts';
import { askRunningServer } from './running-server.ts';

const TLS_NOTICE_DAYS = 14;
const DAY_MS = 24 * 60 * 60 * 1000;

/** All checks, in the order in which one mistake leads to the next. Never throws. */
export async function examine(terminal: Terminal, now: () => Date): Promise<readonly Finding[]> {
  const { finding, value: config } = await checkAndKeep('configuration', async () => {
    const read = loadConfig(terminal.environment);
    // Its length is a mistake in the settings, too.
    adminSocketPath(read);
    return { value: read, verdict: judgeUnknown(read.unknownVariables) };
  });
  if (config === undefined) return [finding];
  const kept = await lookAtKept(terminal, config, now);
  const keys = kept.keys === undefined ? [] : checkKeys(kept.keys, { ...config.keys, now: now() });
  return [
    finding,
    ...kept.findings,
    ...keys,
    ...(await checkAddress(config, kept, now)),
    ...(await checkRegistries(config.registries, realmOf(config), now)),
    ...(await checkCanaries(config, kept.signingKeys, now)),
  ];
}

function judgeUnknown(names: readonly string[]): Verdict {
  if (names.length === 0) return ok('every setting is right');
  return warning(`no settings of cellpass, and without effect: ${names.join(', ')}; correct or unset them`);
}

/** A server in the data directory has the embedded database to itself. */
async function lookAtKept(terminal: Terminal, config: Config, now: () => Date): Promise<Kept> {
  const running = config.databaseUrl === null ? await askRunningServer(terminal, config) : undefined;
  return running ?? checkDatabase(config, now);
}

async function checkAddress(config: Config, kept: Kept, now: () => Date): Promise<readonly Finding[]> {
  const { tls } = config;
  const url = publicUrlOf(config);
  return [
    ...(tls === null ? [] : [await check('TLS certificate', () => judgeTls(readTls(tls).cert, now()))]),
    await check('public URL', () => judgePublicUrl(config)),
    ...(url === null ? [] : await checkAnswers(url, kept)),
  ];
}

async function checkAnswers(url: string, { keys }: Kept): Promise<readonly Finding[]> {
  const answer = await check('public URL answer', () => lookForCellpass(url));
  const active = keys && activeKey(keys.listing);
  if (answer.outcome !== 'ok' || active === undefined) return [answer];
  return [answer, await check('public URL keys', () => comparePublishedKeys(url, active.kid))];
}

/** `pem`: the listener's own certificate first. */
export function judgeTls(pem: string, now: Date): Verdict {
  const notAfter = new Date(new X509Certificate(pem).validTo);
  const renew = 'renew it, and send the server SIGHUP';
  if (notAfter <= now) return failed(`CELLPASS_TLS_CERT expired ${notAfter.toISOString()}: ${renew}`);
  if (notAfter.getTime() - now.getTime() < TLS_NOTICE_DAYS * DAY_MS) {
    return warning(`CELLPASS_TLS_CERT expires ${notAfter.toISOString()}: ${renew}`);
  }
  return ok(`valid until ${notAfter.toISOString()}`);
}
