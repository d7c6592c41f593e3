import { needs, TRUST, useCellpass, useRegistry } from '../../support/e2e/bench.ts';
import { type GoTool, goTool } from '../../support/e2e/tools.ts';
import { describeDebianClients, describeGoClients, describeQuickClients } from '../suites/clients.ts';
import { describeTokens } from '../suites/tokens.ts';

/**
 * The ways in which distribution 3 can trust cellpass, with the service settings that each needs.
 */
const WAYS = [
  { title: 'the CA', service: 'by_ca', settings: {}, trust: TRUST.ca },
  {
    title: 'the certificate of the key',
    service: 'by_certificate',
    settings: { kid: 'thumbprint', x5c: false },
    trust: TRUST.certificate,
  },
  { title: 'a JWK Set', service: 'by_jwks', settings: { x5c: false }, trust: TRUST.jwks },
  {
    title: 'a JWK Set, by thumbprint',
    service: 'by_jwks_thumbprint',
    settings: { kid: 'thumbprint', x5c: false },
    trust: TRUST.jwks,
  },
  {
    title: 'the CA and a JWK Set',
    service: 'by_both',
    settings: {},
    trust: TRUST.caAndJwks,
  },
  {
    title: 'the CA and a JWK Set, without x5c',
    service: 'by_both_kid',
    settings: { x5c: false },
    trust: TRUST.caAndJwks,
  },
] as const;

const VERSIONS: readonly { version: string; tool: GoTool }[] = [
  { version: '3.0', tool: 'registry-3.0' },
  { version: '3.1', tool: 'registry-3.1' },
];

describe('the matrix: distribution 3', function () {
  this.timeout(60_000);
  needs(() => goTool('registry-3.1'));
  const services = Object.fromEntries(WAYS.map(({ service, settings }) => [service, settings]));
  describe('with cellpass', () => {
    const bench = useCellpass(services);

    for (const { version, tool } of VERSIONS) {
      for (const { title, service, trust } of WAYS) {
        describe(`${version} that trusts ${title}`, () => {
          const binary = needs(() => goTool(tool));
          const registry = useRegistry(bench, { binary, service, trust });
          describeTokens(bench, registry);
          if (trust === TRUST.ca) {
            describeDebianClients(bench, registry);
            describeGoClients(bench, registry);
          } else {
            describeQuickClients(bench, registry);
          }
        });
      }
    }
  });
});
