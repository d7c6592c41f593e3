import { GITLAB_VERSIONS } from '../../../support/gitlab/tables.ts';
import { directorySourceConformance } from '../conformance.ts';
import { openGitlab } from './gitlab-writer.ts';

/** What GitLab's database does not have. */
const NOT_IN_GITLAB = [
  // The registry is switched on and off in gitlab.rb.
  'at once: a registry that is switched off',
  // Storage limits are for GitLab.com alone.
  'facts: a root group over its storage limit: refused: storage_limit',
];
/** What came with a later version. */
const NOT_YET: Readonly<Record<string, readonly string[]>> = {
  // Groups can be archived from 17.6 on, tags can be protected from 17.7 on.
  '17.4': ['facts: an archived group above: pull', 'has the rules of protected tags, in order'],
  '18.2': [],
  '19.5': [],
};

for (const version of GITLAB_VERSIONS) {
  const inapplicable = [...NOT_IN_GITLAB, ...(NOT_YET[version] ?? [])];
  directorySourceConformance(`of a GitLab ${version}`, () => openGitlab({ version }), inapplicable);
}

directorySourceConformance(
  'of a GitLab whose CI has a database of its own',
  () => openGitlab({ hasOwnCi: true }),
  [
    ...NOT_IN_GITLAB,
    // Twice: first the job, then the rest.
    'one round trip: a job',
    'one round trip: an unknown job',
  ],
);
