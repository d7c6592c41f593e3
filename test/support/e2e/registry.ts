import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { type Child, startChild, until } from '../processes/child.ts';

/** What a registry trusts: certificates, a JWK Set or both. */
export interface Trust {
  /** Certificates (PEM). */
  readonly rootcertbundle?: string;
  /** A JWK Set (JSON); distribution 3 only. */
  readonly jwks?: string;
}

export interface RegistryOptions {
  readonly binary: string;
  readonly realm: string;
  readonly service: string;
  readonly issuer: string;
  readonly trust: Trust;
  /** The blob store of the registry that this one replaces; default: a new store. */
  readonly storage?: string;
  /** Default: a free one. */
  readonly port?: number;
}

export interface Registry {
  /**
   * `localhost:port`: oras takes a realm on a loopback address only from a registry of the same
   * host name.
   */
  readonly host: string;
  readonly service: string;
  readonly child: Child;
  stop(): Promise<void>;
}

/**
 * A distribution registry on a free loopback port, with token authentication and an empty store.
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const dir = await mkdtemp(join(tmpdir(), 'cellpass-registry-'));
  const config = join(dir, 'config.yml');
  await writeFile(config, stringify(await configuration(dir, options)));
  // distribution 3 would try to send traces to a collector.
  const env = { HOME: dir, OTEL_TRACES_EXPORTER: 'none' };
  const child = startChild(`registry ${options.service}`, options.binary, ['serve', config], { env });
  const stop = async () => {
    await child.stop();
    await rm(dir, { recursive: true, force: true });
  };
  try {
    const port = await until(
      () => {
        if (!child.running()) throw new Error(`the registry ended:\n${child.output()}`);
        return /listening on 127\.0\.0\.1:(\d+)/.exec(child.output())?.[1];
      },
      () => `the registry did not listen:\n${child.output()}`,
    );
    return { host: `localhost:${port}`, service: options.service, child, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function configuration(
  dir: string,
  { realm, service, issuer, trust, storage = join(dir, 'storage'), port = 0 }: RegistryOptions,
): Promise<object> {
  const token: Record<string, string> = { realm, service, issuer };
  for (const [name, text] of Object.entries(trust)) {
    token[name] = join(dir, name);
    await writeFile(join(dir, name), text);
  }
  return {
    version: 0.1,
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    // Port 0: the registry takes a free one and logs which.
    http: { addr: `127.0.0.1:${port}`, secret: 'the-same-for-registries-of-one-store' },
    auth: { token },
  };
}
