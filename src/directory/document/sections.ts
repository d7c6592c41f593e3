/** The sections of a document that are lists of entries, in the order of the document. */
export const SECTIONS = [
  'organizations',
  'users',
  'groups',
  'projects',
  'access_tokens',
  'deploy_tokens',
  'job_tokens',
  'federated_identities',
] as const;
export type SectionName = (typeof SECTIONS)[number];

/** The field that names an entry. Access tokens are named by their owner, too. */
export const NAME_FIELDS: Record<SectionName, string> = {
  organizations: 'path',
  users: 'username',
  groups: 'path',
  projects: 'path',
  access_tokens: 'name',
  deploy_tokens: 'username',
  job_tokens: 'id',
  federated_identities: 'name',
};

export const TOKEN_SECTIONS = ['access_tokens', 'deploy_tokens', 'job_tokens'] as const;
export type TokenSection = (typeof TOKEN_SECTIONS)[number];

export function isSection(name: string): name is SectionName {
  return SECTIONS.some((section) => section === name);
}

/** One value for each section. */
export function perSection<V>(make: (section: SectionName) => V): Record<SectionName, V> {
  const made: Partial<Record<SectionName, V>> = {};
  for (const section of SECTIONS) made[section] = make(section);
  if (!isComplete(made)) throw new Error('a section has no value');
  return made;
}

function isComplete<V>(made: Partial<Record<SectionName, V>>): made is Record<SectionName, V> {
  return SECTIONS.every((section) => section in made);
}
