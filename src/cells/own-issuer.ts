import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import { readTopology } from './current-topology.ts';

/**
 * The settings with the issuer that `cells.yaml` gives this cell, if it gives one.
 * @throws {CellpassError} `invalid` for a wrong topology, and where both name an issuer and differ:
 *   registries and the router would refuse every token.
 */
export function withOwnIssuer(config: Config): Config {
  if (config.cellsFile === null) return config;
  const { cells } = readTopology(config.cellsFile, config.cell);
  const issuer = cells.find(({ id }) => id === config.cell)?.issuer ?? null;
  if (issuer === null) return config;
  if (config.issuerIsSet && config.issuer !== issuer) {
    throw new CellpassError(
      'invalid',
      `CELLPASS_ISSUER: is ${config.issuer}, but ${config.cellsFile} says that cell ${config.cell} signs as ${issuer}: make them equal, or unset one`,
    );
  }
  return { ...config, issuer, issuerIsSet: true };
}
