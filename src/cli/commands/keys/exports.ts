import type { Command } from 'commander';
import { loadConfig } from '../../../config/load.ts';
import type { Terminal } from '../../../terminal.ts';
import { topologyOf } from '../../cells/topology-of.ts';
import { dataOf, withAdmin } from '../../client/admin-client.ts';
import { showAnswer, toJsonLine, withAdminOptions } from '../../client/admin-command.ts';
import type { AdminFlags, JsonFlags } from '../../client/admin-route.ts';
import { findKid } from '../../client/find-kid.ts';

interface ExportCaOptions extends JsonFlags {
  readonly allCells?: boolean;
  readonly caFile?: string;
}

/** The commands that print what registries verify tokens with. */
export function addKeyExports(keys: Command, terminal: Terminal): void {
  withAdminOptions(
    keys.command('export-jwks').description('print the JWK Set, for the jwks file of distribution 3'),
  ).action(async (flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) => dataOf(await api.GET('/.well-known/jwks.json')),
      print: (jwks) => `${JSON.stringify(jwks, null, 2)}\n`,
    });
  });
  withAdminOptions(
    keys
      .command('export-ca')
      .description("print the CA certificates, for a registry's rootcertbundle")
      .option(
        '--all-cells',
        'the CAs of every cell in CELLPASS_CELLS_FILE, for a registry that all cells share; needs no server here',
      )
      .option(
        '--ca-file <file>',
        'with --all-cells: the CAs that verify the TLS certificates of the cells; default: the CAs that Node trusts',
      ),
  ).action(async ({ allCells, caFile, json, ...flags }: ExportCaOptions) => {
    const pem = allCells ? await exportAllCells(terminal, caFile) : await exportThisCell(terminal, flags);
    terminal.stdout(json ? toJsonLine({ pem }) : pem);
  });
  withAdminOptions(
    keys
      .command('export-cert')
      .description('print the certificate of one key, for a rootcertbundle that lists keys one by one')
      .argument('<kid>', 'the id of the key, either of the two, or its first 8 characters or more'),
  ).action(async (id: string, flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async (client) => {
        const params = { query: { kid: await findKid(client, id) } };
        const answer = await client.api.GET('/admin/v1/keys/certificate', { params, parseAs: 'text' });
        return { pem: dataOf(answer) };
      },
      print: ({ pem }) => pem,
    });
  });
}

function exportThisCell(terminal: Terminal, flags: AdminFlags): Promise<string> {
  return withAdmin(terminal, flags, async ({ api }) =>
    dataOf(await api.GET('/.well-known/token-ca.pem', { parseAs: 'text' })),
  );
}

async function exportAllCells({ environment }: Terminal, caFile: string | undefined): Promise<string> {
  // Loaded on demand, so that other commands start faster.
  const { bundleAuthorities } = await import('../../cells/all-authorities.ts');
  return bundleAuthorities(topologyOf(loadConfig(environment)), caFile ?? null);
}
