import type { Command } from 'commander';
import { loadConfig } from '../../../config/load.ts';
import type { Terminal } from '../../../terminal.ts';
import { topologyOf } from '../../cells/topology-of.ts';
import { dataOf, withAdmin } from '../../client/admin-client.ts';
import { type AdminFlags, adminUrlOption, type JsonFlags } from '../../client/admin-route.ts';

/** What registries are given. */
export function addKeyExports(keys: Command, terminal: Terminal): void {
  const { stdout } = terminal;
  const printPem = (pem: string, json: boolean | undefined): void =>
    stdout(json ? `${JSON.stringify({ pem })}\n` : pem);
  keys
    .command('export-jwks')
    .description('the JWK Set, for the jwks file of distribution 3')
    .option('--json', 'on one line')
    .addOption(adminUrlOption())
    .action(({ json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const jwks = dataOf(await api.GET('/.well-known/jwks.json'));
        stdout(`${JSON.stringify(jwks, null, json ? 0 : 2)}\n`);
      }),
    );
  keys
    .command('export-ca')
    .description("the CA certificates, for a registry's rootcertbundle")
    .option(
      '--all-cells',
      'of every cell in CELLPASS_CELLS_FILE, for a registry that they share; needs no server here',
    )
    .option(
      '--ca-file <file>',
      "with --all-cells: what the cells' own TLS is verified with; default: what Node trusts",
    )
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action(async ({ allCells, caFile, json, ...flags }: ExportCaOptions) => {
      printPem(allCells ? await ofAllCells(terminal, caFile) : await ofThisCell(terminal, flags), json);
    });
  keys
    .command('export-cert <kid>')
    .description('the certificate of one key, for a rootcertbundle that lists keys one by one')
    .option('--json', 'print JSON')
    .addOption(adminUrlOption())
    .action((kid: string, { json, ...flags }: JsonFlags) =>
      withAdmin(terminal, flags, async ({ api }) => {
        const params = { query: { kid } };
        const pem = dataOf(await api.GET('/admin/v1/keys/certificate', { params, parseAs: 'text' }));
        printPem(pem, json);
      }),
    );
}

interface ExportCaOptions extends JsonFlags {
  readonly allCells?: boolean;
  readonly caFile?: string;
}

function ofThisCell(terminal: Terminal, flags: AdminFlags): Promise<string> {
  return withAdmin(terminal, flags, async ({ api }) =>
    dataOf(await api.GET('/.well-known/token-ca.pem', { parseAs: 'text' })),
  );
}

async function ofAllCells({ environment }: Terminal, caFile: string | undefined): Promise<string> {
  // Loaded when it is needed: other commands start faster.
  const { bundleAuthorities } = await import('../../cells/all-authorities.ts');
  return bundleAuthorities(topologyOf(loadConfig(environment)), caFile ?? null);
}
