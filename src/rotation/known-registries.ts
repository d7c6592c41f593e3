import type { Config } from '../config/load.ts';
import type { Registry } from './canary.ts';

/** Every registry of the settings, with those of its service; one whose service there isn't is refused with the settings. */
export function knownRegistries({ registries, services }: Config): readonly Registry[] {
  return registries.flatMap(({ name, url, service: asked }) =>
    services.filter((service) => service.name === asked).map((service) => ({ name, url, service })),
  );
}
