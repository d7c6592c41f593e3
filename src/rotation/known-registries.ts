import type { Config } from '../config/load.ts';
import type { Registry } from './canary.ts';

/**
 * The configured registries, each with its service. Loading the configuration refuses unknown
 * services.
 */
export function knownRegistries({ registries, services }: Config): readonly Registry[] {
  return registries.flatMap(({ name, url, service: asked }) =>
    services.filter((service) => service.name === asked).map((service) => ({ name, url, service })),
  );
}
