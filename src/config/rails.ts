import { z } from 'zod';
import { httpUrl } from './http-url.ts';
import type { ExplainedIssue } from './issues.ts';
import { number } from './number.ts';

/** The part of the section `gitlab` that is about GitLab Rails beside cellpass. */

/** `observe`: Rails answers, and cellpass compares. `serve`: cellpass answers. */
const MODES = ['serve', 'observe'] as const;

/** What SIGHUP reads again. */
export interface RailsRules {
  readonly mode: (typeof MODES)[number];
  /** How many of cellpass's own answers are compared, from 0 to 100. */
  readonly comparePercent: number;
  /** Services whose requests go to Rails. */
  readonly passServices: readonly string[];
  /** Top-level groups in lower case that cellpass answers for; null: for all. */
  readonly serveNamespaces: readonly string[] | null;
  /** How many of the clients cellpass answers, from 0 to 100. */
  readonly servePercent: number;
  readonly expectedDifferences: readonly ExpectedDifference[];
}

/** Differences that are known and wanted. */
export interface ExpectedDifference {
  /** The deciding rule, or the reason of a refusal. */
  readonly rule: string;
  /** The kind of credential. */
  readonly credential: string;
}

/** GitLab Rails, which answers what cellpass does not. */
export interface RailsSettings {
  /** Its own address, less `/jwt/auth` and without a trailing slash. */
  readonly url: string;
  readonly rules: RailsRules;
}

const percent = number.pipe(z.number().min(0).max(100));
const topLevelGroup = z
  .string()
  .regex(/^[a-z0-9_][a-z0-9_.-]*$/i, 'must be the path of a top-level group, such as acme')
  .transform((path) => path.toLowerCase());

export const railsSettings = {
  rails_url: httpUrl
    .refine((url) => !/\/jwt\/auth$/.test(url), 'must not end with /jwt/auth, which cellpass adds')
    .optional(),
  mode: z.enum(MODES).default('serve'),
  compare_percent: percent.optional(),
  pass_services: z.array(z.string().min(1).max(255)).optional(),
  serve_namespaces: z.array(topLevelGroup).min(1).optional(),
  serve_percent: percent.optional(),
  expected_differences: z
    .array(z.strictObject({ rule: z.string().min(1), credential: z.string().min(1) }))
    .optional(),
};

const section = z.object(railsSettings);
type Given = z.output<typeof section>;

const NEEDS_RAILS = [
  'compare_percent',
  'pass_services',
  'serve_namespaces',
  'serve_percent',
  'expected_differences',
] as const;

/** The service of GitLab's dependency proxy, which checks its tokens with a secret of Rails. */
const DEPENDENCY_PROXY = 'dependency_proxy';

/** Settings that are valid alone but not together. */
export function railsContradictions(
  given: Given,
  { hasDatabase, publicUrl }: { readonly hasDatabase: boolean; readonly publicUrl: string | undefined },
): ExplainedIssue[] {
  const at = (name: string, message: string): ExplainedIssue => ({ path: ['gitlab', name], message });
  if (given.rails_url === undefined) {
    const needed = 'needs CELLPASS_GITLAB_RAILS_URL, the address of GitLab Rails';
    return [
      ...(given.mode === 'observe' ? [at('mode', `observe ${needed}`)] : []),
      ...NEEDS_RAILS.filter((name) => given[name] !== undefined).map((name) => at(name, needed)),
    ];
  }
  return [
    ...(given.rails_url === publicUrl
      ? [at('rails_url', 'is CELLPASS_PUBLIC_URL, so cellpass would ask itself: name the address of Rails')]
      : []),
    ...(!hasDatabase && (given.compare_percent ?? 0) > 0
      ? [at('compare_percent', 'needs CELLPASS_GITLAB_DATABASE_URL, the database of GitLab')]
      : []),
  ];
}

/** Null: there is no Rails beside cellpass. */
export function toRailsSettings(given: Given): RailsSettings | null {
  if (given.rails_url === undefined) return null;
  return {
    url: given.rails_url,
    rules: {
      mode: given.mode,
      comparePercent: given.compare_percent ?? 0,
      passServices: given.pass_services ?? [DEPENDENCY_PROXY],
      serveNamespaces: given.serve_namespaces ?? null,
      servePercent: given.serve_percent ?? 100,
      expectedDifferences: given.expected_differences ?? [],
    },
  };
}
