import { X509Certificate } from 'node:crypto';
import { resolve } from 'node:path';
import type { Config } from '../../config/load.ts';
import { CellpassError } from '../../errors.ts';
import { activeKey } from '../../keys/key-set.ts';
import type { Terminal } from '../../terminal.ts';
import { type AdminClient, dataOf, withAdmin } from '../client/admin-client.ts';
import { check, checkWithValue, type Finding, failed, named, ok, type Verdict } from './finding.ts';
import type { KeyFacts, Validity } from './key-checks.ts';
import { checkMasterKey, type StoredState } from './stored-state.ts';

const TIMEOUT_MS = 5000;

/**
 * Asks the server that holds the data directory instead of its database; undefined when no server
 * answers.
 */
export async function askRunningServer(terminal: Terminal, config: Config): Promise<StoredState | undefined> {
  return withAdmin(terminal, {}, async ({ api }) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const ready = await api.GET('/readyz', { signal }).catch(() => undefined);
    if (ready === undefined) return undefined;
    const database = named(
      'database',
      ready.response.ok
        ? ok('the running server answers')
        : failed('the server in the data directory is not ready: try again in a moment, then read its log'),
    );
    const { finding, value: keys } = await checkWithValue('stored keys', async () => {
      const value = await readFacts(api, signal);
      return { value, verdict: ok(`the running server has ${value.listing.keys.length}`) };
    });
    const masterKey = await check('master key', () => judgeMasterKey(config.keysDir));
    const findings = [database, finding, masterKey, ...noteOnRegistries(config)];
    return { findings, keys, signingKeys: [] };
  });
}

/** This command may look into another folder than the server, whose settings it may not have. */
async function judgeMasterKey(keysDir: string): Promise<Verdict> {
  try {
    return (await checkMasterKey(keysDir, undefined)).verdict;
  } catch (error) {
    if (!(error instanceof CellpassError && error.code === 'conflict')) throw error;
    return failed(
      `the running server has the keys open, but there is no master.key in ${resolve(keysDir)}: run doctor with the server's CELLPASS_KEYS_DIR; if this is it, restore the file before the server stops`,
    );
  }
}

/** This process has no private keys, so it can't sign canary tokens. */
function noteOnRegistries({ registries }: Config): readonly Finding[] {
  if (registries.length === 0) return [];
  return [
    named('registry trust', ok('not checked here: run "cellpass keys probe", which asks the running server')),
  ];
}

async function readFacts(api: AdminClient['api'], signal: AbortSignal): Promise<KeyFacts> {
  const listing = dataOf(await api.GET('/admin/v1/keys', { signal }));
  const active = activeKey(listing);
  if (active === undefined || active.certificate === null) return { listing, leaf: null };
  const params = { query: { kid: active.kid } };
  const pem = dataOf(await api.GET('/admin/v1/keys/certificate', { params, signal, parseAs: 'text' }));
  return { listing, leaf: validityOf(pem) };
}

function validityOf(pem: string): Validity {
  const { validFrom, validTo } = new X509Certificate(pem);
  return { notBefore: new Date(validFrom), notAfter: new Date(validTo) };
}
