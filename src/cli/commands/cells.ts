import { Command } from 'commander';
import type { Terminal } from '../../terminal.ts';
import type { HaproxyOptions } from '../cells/haproxy.ts';
import { printFindings, refuseIfFailed } from './doctor.ts';

// What the commands are made of is loaded when it is needed: other commands start faster.

export function cellsCommand(terminal: Terminal): Command {
  const cells = new Command('cells').description(
    'the cells of the topology, and the router before their registries',
  );
  cells
    .command('haproxy')
    .description(
      "write HAProxy's configuration for the registry router: CELLPASS_CELLS_FILE and each cell's published keys. Exit 0: written, or nothing changed; 1: nothing was touched",
    )
    .option('--output <dir>', 'where haproxy.cfg and the files that it names are written', './haproxy')
    .option('--bind <address...>', 'where HAProxy listens', ['127.0.0.1:5000'])
    .option('--cert <file>', 'certificate and private key in one PEM file: listen with TLS')
    .option('--ca-file <file>', "what registries and issuers are verified with; default: the system's")
    .option('--realm <url>', 'where clients get tokens; default: CELLPASS_PUBLIC_URL and /jwt/auth')
    .option('--service <name>', 'the service of challenges; default: the first of CELLPASS_SERVICES')
    .option(
      '--follow-dns',
      "follow the cells' addresses by DNS (/etc/resolv.conf), not only when HAProxy starts",
    )
    .option(
      '--check [program]',
      'let this HAProxy check the configuration before it takes the place of the last one',
    )
    .option('--json', 'print JSON')
    .action(async (options: HaproxyOptions) => {
      const { writeHaproxy } = await import('../cells/haproxy.ts');
      await writeHaproxy(terminal, options);
    });
  cells
    .command('check')
    .description(
      'read the topology, and ask every issuer, registry and the router whether they answer; needs no server',
    )
    .option('--ca-file <file>', 'what their certificates are verified with; default: what Node trusts')
    .option('--json', 'print JSON')
    .action(async ({ caFile, json }: { caFile?: string; json?: boolean }) => {
      const { examineCells } = await import('../cells/check.ts');
      const checks = await examineCells(terminal, caFile ?? null);
      terminal.stdout(json ? `${JSON.stringify({ checks })}\n` : printFindings(checks));
      refuseIfFailed(checks);
    });
  return cells;
}
