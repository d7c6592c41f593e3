import { EXAMPLE_SECRETS, isExampleSecret } from '../../authn/example-secrets.ts';
import type { Path } from '../../config/yaml.ts';
import type { DirectoryDocument } from './document.ts';
import { TOKEN_SECTIONS } from './sections.ts';

const MESSAGE =
  'is one of the examples of cellpass, which everybody knows: choose another (CELLPASS_PUBLIC_URL is not a loopback address)';

/** Reports every secret that stands in `examples/`. */
export function checkExamples(
  document: DirectoryDocument,
  report: (path: Path, message: string) => void,
): void {
  document.users?.forEach(({ at, password }) => {
    if (password !== undefined && isExampleSecret(password)) report(['users', at, 'password'], MESSAGE);
  });
  for (const section of TOKEN_SECTIONS) {
    for (const { at, token, token_sha256 } of document[section] ?? []) {
      if (token !== undefined && isExampleSecret(token)) report([section, at, 'token'], MESSAGE);
      if (token_sha256 !== undefined && EXAMPLE_SECRETS.has(token_sha256)) {
        report([section, at, 'token_sha256'], MESSAGE);
      }
    }
  }
}
