import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { connect } from 'node:tls';
import type { Site } from './site.ts';

/** Writes a new self-signed certificate for this host and for loopback to the same two files. */
export async function makeTls(site: Site, host: string) {
  await mkdir(site.dir, { recursive: true });
  const env = { CELLPASS_TLS_CERT: join(site.dir, 'tls.crt'), CELLPASS_TLS_KEY: join(site.dir, 'tls.key') };
  const files = ['-keyout', env.CELLPASS_TLS_KEY, '-out', env.CELLPASS_TLS_CERT];
  const subject = ['-subj', `/CN=${host}`, '-addext', `subjectAltName=DNS:${host},IP:127.0.0.1`];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...files, ...subject], { stdio: 'ignore' });
  return env;
}

/**
 * Connects until the server shows the certificate for `host`, because a reload gives no answer;
 * fails after 200 tries.
 */
export async function untilServed(url: string, host: string): Promise<void> {
  const { hostname, port } = new URL(url);
  for (let tries = 0; tries < 200; tries++) {
    const shown = await new Promise<string>((resolve, reject) => {
      const socket = connect({ host: hostname, port: Number(port), rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.once('error', reject);
    });
    if (shown === host) return;
  }
  assert.fail(`${host} is not shown`);
}
