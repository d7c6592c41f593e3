import type { Command } from 'commander';
import { dataOf, withAdmin } from './admin-client.ts';
import { adminUrlOption, type JsonFlags } from './admin-route.ts';
import type { Surroundings } from './surroundings.ts';

/** What registries are given. */
export function addKeyExports(keys: Command, surroundings: Surroundings): void {
  const { stdout } = surroundings;
  const printPem = (pem: string, json: boolean | undefined): void =>
    stdout(json ? `${JSON.stringify({ pem })}\n` : pem);
  keys
    .command('export-jwks')
    .description('the JWK Set, for the jwks file of distribution 3')
    .option('--json', 'on one line')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(surroundings, flags, async ({ api }) => {
        const jwks = dataOf(await api.GET('/.well-known/jwks.json'));
        stdout(`${JSON.stringify(jwks, null, json ? 0 : 2)}\n`);
      }),
    );
  keys
    .command('export-ca')
    .description("the CA certificates, for a registry's rootcertbundle")
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(surroundings, flags, async ({ api }) => {
        printPem(dataOf(await api.GET('/.well-known/token-ca.pem', { parseAs: 'text' })), json);
      }),
    );
  keys
    .command('export-cert <kid>')
    .description('the certificate of one key, for a rootcertbundle that lists keys one by one')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((kid: string, { json, ...flags }: JsonFlags) =>
      withAdmin(surroundings, flags, async ({ api }) => {
        const params = { query: { kid } };
        const pem = dataOf(await api.GET('/admin/v1/keys/certificate', { params, parseAs: 'text' }));
        printPem(pem, json);
      }),
    );
}
