/** A directory document's sections, as data. */
export type Sections = Readonly<Record<string, readonly object[]>>;

/** Everything is named after `slug`, so that situations don't interfere. */
export interface Names {
  readonly organization: string;
  readonly user: string;
  readonly top: string;
  readonly group: string;
  readonly origin: string;
  readonly originProject: string;
  readonly friends: string;
  readonly invited: string;
  readonly deployToken: string;
}

export function namesFor(slug: string): Names {
  return {
    organization: `${slug}-organization`,
    user: `${slug}-user`,
    top: slug,
    group: `${slug}/sub`,
    origin: `${slug}-origin`,
    originProject: `${slug}-origin/app`,
    friends: `${slug}-friends`,
    invited: `${slug}-friends/inner`,
    deployToken: `gitlab+deploy-token-${slug}`,
  };
}

export function emailOf(names: Names): string {
  return `${names.user}@example.com`;
}
