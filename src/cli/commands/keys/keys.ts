import { Command } from 'commander';
import { CellpassError } from '../../../errors.ts';
import type { ProbeResult } from '../../../http/types.ts';
import type { Terminal } from '../../../terminal.ts';
import { dataOf } from '../../client/admin-client.ts';
import { showAnswer, withAdminOptions } from '../../client/admin-command.ts';
import type { JsonFlags } from '../../client/admin-route.ts';
import { addAuthorityCommands } from './authorities.ts';
import { addKeyChanges, addRareKeyChanges } from './changes.ts';
import { addKeyExports } from './exports.ts';
import { printHistory, printKeys } from './print-keys.ts';
import { addKeyReset } from './reset.ts';
import { printProbes } from './show-change.ts';

/** `cellpass keys`: its commands, in the order of the help. */
export function keysCommand(terminal: Terminal): Command {
  const keys = new Command('keys').description(
    'manage the keys that sign tokens, and export what registries verify tokens with',
  );
  addKeyLists(keys, terminal);
  addKeyChanges(keys, terminal);
  addRareKeyChanges(keys, terminal);
  addKeyExports(keys, terminal);
  addAuthorityCommands(keys, terminal);
  addKeyReset(keys, terminal);
  return keys;
}

function addKeyLists(keys: Command, terminal: Terminal): void {
  withAdminOptions(
    keys.command('list').description('list every key and CA with its state and the next change'),
  ).action(async (flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) => dataOf(await api.GET('/admin/v1/keys')),
      print: (listing) => printKeys(listing, new Date()),
    });
  });
  withAdminOptions(
    keys.command('history').description('list who changed keys, when and why; the newest change first'),
  ).action(async (flags: JsonFlags) => {
    await showAnswer(terminal, flags, {
      fetch: async ({ api }) => dataOf(await api.GET('/admin/v1/keys/history')),
      print: printHistory,
    });
  });
  withAdminOptions(
    keys
      .command('probe')
      .description('ask every registry whether it accepts the pending key; exit code 1 unless all do'),
  ).action(async (flags: JsonFlags) => {
    const result = await showAnswer(terminal, flags, {
      fetch: async ({ api }) => dataOf(await api.POST('/admin/v1/keys/probe')),
      print: ({ probes }) => printProbes(probes),
    });
    refuseUnlessAccepted(result);
  });
}

/**
 * @throws {CellpassError} `conflict` unless there are registries and all of them accept the key.
 */
function refuseUnlessAccepted({ kid, probes }: ProbeResult): void {
  if (probes.length === 0) {
    throw new CellpassError(
      'conflict',
      'no registry is configured: list the registries under "registries" in the configuration file',
    );
  }
  const others = probes.filter(({ outcome }) => outcome !== 'accepted');
  if (others.length === 0) return;
  const names = others.map(({ registry }) => registry).join(', ');
  throw new CellpassError(
    'conflict',
    `the key ${kid} is not accepted by ${names}: give it "cellpass keys export-ca" (or "export-jwks") and restart it`,
  );
}
