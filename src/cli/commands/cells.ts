import { Command, InvalidArgumentError, Option } from 'commander';
import { SOURCE_BOUNDS } from '../../cells/router/sources.ts';
import type { Terminal } from '../../terminal.ts';
import type { HaproxyOptions } from '../cells/haproxy.ts';
import { toJsonLine } from '../client/admin-command.ts';
import { printFindings, refuseIfFailed } from './doctor.ts';

// The modules of these commands are loaded on demand, so that other commands start faster.

export function cellsCommand(terminal: Terminal): Command {
  const cells = new Command('cells').description(
    'check the cells of the topology, and configure the router in front of their registries',
  );
  cells
    .command('haproxy')
    .description(
      "write HAProxy's configuration for the registry router, from CELLPASS_CELLS_FILE and each cell's published keys; exit code 0: written, or nothing changed; 1: failed, and no file was changed",
    )
    .option('--output <dir>', 'the folder for haproxy.cfg and the files that it names', './haproxy')
    .option('--bind <address...>', 'the addresses on which HAProxy listens', ['127.0.0.1:5000'])
    .option('--cert <file>', 'listen with TLS, with this certificate and private key in one PEM file')
    .option(
      '--ca-file <file>',
      "the CAs that verify the certificates of registries and issuers; default: the system's",
    )
    .option(
      '--realm <url>',
      'the URL from which clients get tokens; default: CELLPASS_PUBLIC_URL and /jwt/auth',
    )
    .option('--service <name>', 'the service that challenges name; default: the first of CELLPASS_SERVICES')
    .option(
      '--follow-dns',
      "look up the cells' addresses in DNS again while HAProxy runs (/etc/resolv.conf), not only at its start",
    )
    .addOption(
      boundOption('--source-connections <n>', 'connections at the same time', SOURCE_BOUNDS.connections),
    )
    .addOption(boundOption('--source-requests <n>', 'requests in ten seconds', SOURCE_BOUNDS.requests))
    .addOption(
      boundOption(
        '--source-refusals <n>',
        'bearer tokens that no key verifies, in ten seconds',
        SOURCE_BOUNDS.refusals,
      ),
    )
    .option(
      '--check [program]',
      'run this HAProxy to check the new configuration before it replaces the old one; default: haproxy',
    )
    .option('--json', 'print JSON')
    .action(async (options: HaproxyOptions) => {
      const { writeHaproxy } = await import('../cells/haproxy.ts');
      await writeHaproxy(terminal, options);
    });
  cells
    .command('check')
    .description(
      'check the topology, and that every issuer, every registry and the router answer; needs no server',
    )
    .option('--ca-file <file>', 'the CAs that verify their certificates; default: the CAs that Node trusts')
    .option('--json', 'print JSON')
    .action(async ({ caFile, json }: { caFile?: string; json?: boolean }) => {
      const { examineCells } = await import('../cells/check.ts');
      const checks = await examineCells(terminal, caFile ?? null);
      terminal.stdout(json ? toJsonLine({ checks }) : printFindings(checks));
      refuseIfFailed(checks);
    });
  return cells;
}

/** A bound for each source address (an IPv6 address counts as its /64 network). */
function boundOption(flags: string, what: string, byDefault: number): Option {
  return new Option(flags, `${what} that one source may take; 0: no bound`)
    .default(byDefault)
    .argParser((text) => {
      if (/^\d{1,9}$/.test(text)) return Number(text);
      throw new InvalidArgumentError('must be a whole number, 0 or more.');
    });
}
