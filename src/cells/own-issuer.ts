import type { Config } from '../config/load.ts';
import { CellpassError } from '../errors.ts';
import { readTopology } from './current-topology.ts';

/**
 * The settings with the issuer that `cells.yaml` gives this cell, if it gives one.
 * @throws {CellpassError} `invalid` for a wrong topology; where both name an issuer and differ, because
 *   registries and the router would refuse every token; and where the issuer is one of ID tokens.
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
  const federated = config.federation?.issuers.find((entry) => entry.issuer === issuer);
  if (federated !== undefined) {
    throw new CellpassError(
      'invalid',
      `CELLPASS_FEDERATION.issuers.${federated.name}.issuer: is this server itself (cell ${config.cell} of ${config.cellsFile}): its own tokens are no ID tokens`,
    );
  }
  return { ...config, issuer, issuerIsSet: true };
}
