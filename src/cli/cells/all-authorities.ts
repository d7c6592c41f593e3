import { X509Certificate } from 'node:crypto';
import type { Cell, Topology } from '../../cells/topology.ts';
import { CellpassError } from '../../errors.ts';
import { reasonOf } from '../doctor/finding.ts';
import { type CellClient, createCellClient } from './ask.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g;

/**
 * The CA certificates of all cells, PEM, each once and below the name of its cell, for a registry that all cells share. Registries read
 * over what stands between certificates.
 * @throws {CellpassError} `unavailable`, naming each cell that didn't tell its CAs: a bundle that misses one refuses all of its tokens.
 */
export async function bundleAuthorities({ cells }: Topology, caFile: string | null): Promise<string> {
  const client = createCellClient(caFile);
  try {
    const asked = await Promise.allSettled(cells.map((cell) => authoritiesOf(client, cell)));
    const failures = asked.flatMap((one, at) =>
      one.status === 'rejected' ? [`cell ${cells[at]?.id} (${cells[at]?.url}): ${reasonOf(one.reason)}`] : [],
    );
    if (failures.length > 0) {
      throw new CellpassError(
        'unavailable',
        `not every cell told its CAs, and a bundle without one would refuse its tokens: ${failures.join('; ')}`,
      );
    }
    return toBundle(
      cells,
      asked.map((one) => (one.status === 'fulfilled' ? one.value : [])),
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
  const other = certificates.find(({ ca }) => !ca);
  if (other !== undefined)
    throw new Error(`${url}/.well-known/token-ca.pem holds a certificate that is no CA's`);
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
