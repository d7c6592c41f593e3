import { X509Certificate } from 'node:crypto';
import type { Cell, Topology } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import { reasonOf } from '../doctor/finding.ts';
import { type CellClient, createCellClient } from './cell-client.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/**
 * The CA certificates of all cells as PEM, for a registry that all cells share. Each certificate is
 * there once, below a comment with the id of its cell; registries ignore text between certificates.
 * @throws {CellpassError} `unavailable` with each cell that did not answer with its CAs: with a
 * bundle that lacks the CA of a cell, the registry would refuse every token of that cell.
 */
export async function bundleAuthorities({ cells }: Topology, caFile: string | null): Promise<string> {
  const client = createCellClient(caFile);
  try {
    const answers = await Promise.allSettled(cells.map((cell) => authoritiesOf(client, cell)));
    const failures = answers.flatMap((answer, at) =>
      answer.status === 'rejected'
        ? [`cell ${cells[at]?.id} (${cells[at]?.url}): ${reasonOf(answer.reason)}`]
        : [],
    );
    if (failures.length > 0) {
      throw new CellpassError(
        'unavailable',
        `not every cell answers with its CAs, and a registry would refuse the tokens of a cell that is missing; start the cells or correct their urls: ${failures.join('; ')}`,
      );
    }
    return toBundle(
      cells,
      answers.map((answer) => (answer.status === 'fulfilled' ? answer.value : [])),
    );
  } finally {
    await client.close();
  }
}

async function authoritiesOf(client: CellClient, { url }: Cell): Promise<readonly X509Certificate[]> {
  const { status, text } = await client.get(`${url}/.well-known/token-ca.pem`);
  if (status !== 200) throw new Error(`${url}/.well-known/token-ca.pem answers ${status}`);
  const certificates = (text.match(CERTIFICATE) ?? []).map((pem) => new X509Certificate(pem));
  if (certificates.length === 0) throw new Error(`${url}/.well-known/token-ca.pem holds no certificate`);
  if (certificates.some(({ ca }) => !ca))
    throw new Error(`${url}/.well-known/token-ca.pem holds a certificate that is not of a CA`);
  return certificates;
}

function toBundle(cells: readonly Cell[], authorities: readonly (readonly X509Certificate[])[]): string {
  const written = new Set<string>();
  const parts = cells.flatMap(({ id }, at) =>
    (authorities[at] ?? []).flatMap((certificate) => {
      if (written.has(certificate.fingerprint256)) return [];
      written.add(certificate.fingerprint256);
      return [`# cell ${id}\n${certificate.toString().trim()}\n`];
    }),
  );
  return parts.join('');
}
