import { Command } from 'commander';
import { type AdminClient, dataOf, withAdmin } from './admin-client.ts';
import type { Surroundings } from './surroundings.ts';
import { printTable } from './table.ts';

export function keysCommand(surroundings: Surroundings): Command {
  const keys = new Command('keys').description(
    'the keys that sign tokens, and what registries verify them with',
  );
  keys
    .command('list')
    .description('every key with its state')
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) =>
      withAdmin(surroundings, (client) => list(surroundings, client, json === true)),
    );
  keys
    .command('export-jwks')
    .description('the JWK Set, for the jwks file of distribution 3')
    .option('--json', 'on one line')
    .action(({ json }: { json?: boolean }) =>
      withAdmin(surroundings, (client) => exportJwks(surroundings, client, json === true)),
    );
  keys
    .command('export-ca')
    .description("the CA certificates, for a registry's rootcertbundle")
    .option('--json', 'print JSON')
    .action(({ json }: { json?: boolean }) =>
      withAdmin(surroundings, (client) => exportCa(surroundings, client, json === true)),
    );
  return keys;
}

async function list({ stdout }: Surroundings, { api }: AdminClient, json: boolean): Promise<void> {
  const listing = dataOf(await api.GET('/admin/v1/keys'));
  if (json) {
    stdout(`${JSON.stringify(listing)}\n`);
    return;
  }
  const rows = listing.keys.map((key) => [key.state, key.kid, key.thumbprint, key.activated_at ?? '-']);
  stdout(printTable(['STATE', 'KID (LIBTRUST)', 'THUMBPRINT', 'ACTIVE SINCE'], rows));
}

async function exportJwks({ stdout }: Surroundings, { api }: AdminClient, json: boolean): Promise<void> {
  const jwks = dataOf(await api.GET('/.well-known/jwks.json'));
  stdout(`${JSON.stringify(jwks, null, json ? 0 : 2)}\n`);
}

async function exportCa({ stdout }: Surroundings, { api }: AdminClient, json: boolean): Promise<void> {
  const pem = dataOf(await api.GET('/.well-known/token-ca.pem', { parseAs: 'text' }));
  stdout(json ? `${JSON.stringify({ pem })}\n` : pem);
}
