import type { RunningServer } from './start.ts';

export interface NextSteps extends Pick<RunningServer, 'publicUrl'> {
  /** How to call this program: `bin/cellpass`, or `cellpass` where it is installed. */
  readonly command: string;
  /** The example directory document; undefined in a package that does not have it. */
  readonly exampleFile: string | undefined;
  /** One for each service. */
  readonly registryConfigurations: readonly string[];
}

const EXAMPLE_SCOPE = 'repository:acme/platform/api:pull,push';

/** What `serve` prints on a terminal: where it answers, and the commands to try next. */
export function nextSteps({ publicUrl, command, exampleFile, registryConfigurations }: NextSteps): string {
  const realm = `${publicUrl}/jwt/auth`;
  const [service = 'container_registry'] = registryConfigurations.flatMap(
    (text) => /^\s*service: (.+)$/m.exec(text)?.[1] ?? [],
  );
  const steps = [
    ...(exampleFile === undefined
      ? [`Load your users, projects and tokens:\n\n    ${command} directory apply -f directory.yaml`]
      : [
          `Load the example directory (do not do this in production: its passwords are public):\n\n    ${command} directory apply -f ${exampleFile}`,
          `Ask for a token as alice, who is in that example:\n\n    curl -u "alice:correct horse" "${realm}?service=${service}&scope=${EXAMPLE_SCOPE}"`,
        ]),
    `Save the certificate that registries must trust:\n\n    ${command} keys export-ca > token-ca.pem`,
    `Copy these lines to your registry's configuration file, and restart the registry:\n\n${registryConfigurations.map(indent).join('\n\n')}`,
    'Log in to the registry (use the address of the registry, not of this server):\n\n    docker login -u alice REGISTRY',
  ];
  return [
    `cellpass is running. Clients get their tokens at this URL (the realm):\n\n    ${realm}`,
    'What to do next, in a second terminal with the same CELLPASS_ settings:',
    ...steps.map((step, at) => `${at + 1}. ${step}`),
    `If something does not work, run "${command} doctor". Press Ctrl+C to stop the server.\n\n`,
  ].join('\n\n');
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}
