import type { Config } from '../config/load.ts';
import type { Registry } from './canary.ts';

/**
 * The configured registries, each with its service. Loading the configuration refuses unknown
 * services.
 */
export function knownRegistries({ registries, services }: Config): readonly Registry[] {
  return registries.flatMap(({ name, url, service: asked, trusts }) =>
    services.filter((service) => service.name === asked).map((service) => ({ name, url, service, trusts })),
  );
}

/**
 * The registries that trust one key, which they read at their start. A key of a scheduled rotation
 * is always refused there, so an admin must replace it by hand.
 */
export function registriesOfOneKey({ registries }: Pick<Config, 'registries'>): readonly string[] {
  return registries.filter(({ trusts }) => trusts === 'key').map(({ name }) => name);
}
