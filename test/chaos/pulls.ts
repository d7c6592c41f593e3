import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { skopeoCopier } from '../support/e2e/clients.ts';
import { writeImage } from '../support/e2e/oci-image.ts';
import { startRegistry } from '../support/e2e/registry.ts';
import { debianTool } from '../support/e2e/tools.ts';
import type { Journal } from './journal.ts';
import { type Secrets, STEADY } from './model.ts';
import { ISSUER, SERVICE, type World } from './world.ts';

const PAUSE_MS = 200;

/**
 * The client's message when its credentials are refused; when the issuer is away the message
 * differs.
 */
const FORGETS_CREDENTIALS = /invalid username\/password|unauthorized|status(?: code)?:? 401/i;

/**
 * Runs a real registry and a real client that pushes and pulls all the time; undefined if they are
 * not installed.
 */
export async function startPulls(
  { dir, replicas: [replica] }: World,
  { steadyToken }: Secrets,
  journal: Journal,
): Promise<{ stop(): Promise<void> } | undefined> {
  const binary = await debianTool('docker-registry');
  const skopeo = await debianTool('skopeo');
  if (binary === undefined || skopeo === undefined || replica === undefined) return undefined;
  const rootcertbundle = await (await fetch(`${replica.url}/.well-known/token-ca.pem`)).text();
  const registry = await startRegistry({
    binary,
    realm: `${replica.url}/jwt/auth`,
    service: SERVICE,
    issuer: ISSUER,
    trust: { rootcertbundle },
  });
  const copier = skopeoCopier(skopeo);
  const session = { host: registry.host, dir, credentials: { username: STEADY, password: steadyToken } };
  let stopped = false;
  const loop = async (): Promise<void> => {
    for (let turn = 0; !stopped; turn++) {
      const image = await writeImage(join(dir, `image-${turn}`));
      const reference = `${registry.host}/steadily/app:turn-${turn}`;
      for (const [what, run] of [
        ['push', () => copier.push(image, reference, session)],
        ['pull', () => copier.pull(reference, join(dir, `pulled-${turn}`), session)],
      ] as const) {
        const { code, stderr } = await run();
        journal.count(`skopeo ${what}: ${code === 0 ? 'done' : 'failed'}`);
        if (code === 0) continue;
        journal.note(`skopeo could not ${what}`, { stderr });
        if (FORGETS_CREDENTIALS.test(stderr))
          journal.violate('a client was told that its credentials are wrong', { stderr });
      }
      await delay(PAUSE_MS);
    }
  };
  const running = loop();
  return {
    async stop() {
      stopped = true;
      await running;
      await registry.stop();
    },
  };
}
