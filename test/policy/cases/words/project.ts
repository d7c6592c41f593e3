import {
  MINIMUM_ROLES,
  type MinimumRole,
  REGISTRY_ACCESSES,
  ROLES,
  VISIBILITIES,
} from '../../../../src/policy/role.ts';
import type { Column } from '../csv.ts';
import { LONG_AGO, type Situation, type Target } from '../situation.ts';
import { clauses, NotExpressible, NotUnderstood, readPhrases, vocabulary } from './phrases.ts';

/**
 * Parses the columns `project_visibility` and `registry_access_level`: the project, its groups, its
 * rules.
 */

const ROLE = ROLES.join('|');

const VISIBILITY_WORDS = vocabulary<Situation>({
  'n/a': () => undefined,
  [VISIBILITIES.join('|')]: () => undefined,
  '(?:parent |top(?:-level)? |root )?group (?:is )?archived|archived (?:parent )?group': (s) => {
    s.topGroup.archived = true;
  },
  '(?:project )?archived': (s) => {
    s.archived = true;
  },
  '(?:project )?(?:scheduled for|pending) deletion|deletion[ _]scheduled|marked for deletion': (s) => {
    s.deletionScheduled = true;
  },
  '(?:organi[sz]ation )in maintenance(?: mode)?|organi[sz]ation maintenance(?: mode)?': (s) => {
    s.organizationMaintenance = true;
  },
  '(?:instance )?(?:in )?maintenance mode(?: on)?': (s) => {
    s.settings.maintenance_mode = true;
  },
  'flag (?:on|enabled)|(?:no |not in )maintenance(?: mode)?|maintenance mode off': () => undefined,
  'flag (?:off|disabled)': (s) => {
    s.organizationMaintenance = false;
  },
  '(?:root )?(?:namespace|group) (?:is )?(?:over|above) (?:its )?storage limit|over storage limit': (s) => {
    s.topGroup.over_storage_limit = true;
  },
  '(?:namespace|group) (?:under|below|within) (?:its )?storage limit': () => undefined,
  '(?:(?:parent|top|root) )?(?:group )?IP (?:allowlist|restriction)s?': (s) => {
    s.topGroup.allowlist = true;
  },
  'client (?:is )?(inside|outside)': (s, client) => {
    s.client = client.toLowerCase() === 'inside' ? 'inside' : 'outside';
  },
  [`project (?:is )?(?:shared with|invites)(?: an?| the)? group (?:at|as|with) (${ROLE})`]: (s, role) => {
    s.projectInvites = roleIn('project_visibility', role);
  },
  [`(?:parent )?group (?:is )?(?:shared with|invites)(?: an?| the| another)? group (?:at|as|with) (${ROLE})`]:
    (s, role) => {
      s.groupInvites = roleIn('project_visibility', role);
    },
  '(?:invitation|share) (?:is )?expired|expired (?:invitation|share)': (s) => {
    s.invitationExpiresOn = LONG_AGO;
  },
  '(?:group )?share[ _](?:with[ _]group[ _])?lock(?: on)?(?: group| parent group)?': (s) => {
    s.topGroup.share_with_group_lock = true;
  },
  '(?:instance )?registry (?:switched |turned )?off|registry disabled on instance': (s) => {
    s.settings.registry_enabled = false;
  },
});

const MINIMUM = `(${[...MINIMUM_ROLES, 'none', 'M', 'O', 'A', 'D', '-'].join('|')})`;

const REGISTRY_WORDS = vocabulary<Situation>({
  'n/a|mixed': () => undefined,
  // This must come first, because a tag pattern may look like any other phrase.
  [`([^\\s;]+?)\\(push ${MINIMUM} ?\\/ ?del(?:ete)? ${MINIMUM}\\)`]: (s, pattern, push, del) => {
    s.tagRules.push({ pattern, push: minimum(push), delete: minimum(del), immutable: false });
  },
  '([^\\s;]+?)\\(immutable\\)': (s, pattern) => {
    s.tagRules.push({ pattern, push: null, delete: null, immutable: true });
  },
  [REGISTRY_ACCESSES.join('|')]: () => undefined,
  'repo(?:sitory)? rule blocks': (s) => {
    s.repositoryRule = { matches: 'blocked_repository', push: 'admin', delete: null };
  },
  'other (?:scope|repo(?:sitory)?) is fine': () => undefined,
  '(?:repo(?:sitory)? )?rule(?: pattern)? matches': (s) => {
    s.repositoryRule = { matches: 'project', push: null, delete: null };
  },
  "(?:repo(?:sitory)? )?rule(?: pattern)? (?:does not|doesn't) match": (s) => {
    s.repositoryRule = { matches: 'nothing', push: null, delete: null };
  },
  '(?:pattern )?(?:in )?(?:upper|other|mixed)[- ]case(?: pattern)?|case (?:differs|does not matter)': (s) => {
    ruleOf(s).matches = 'project_in_upper_case';
  },
  'no (?:repo(?:sitory)? |tag |immutable )?rules?': () => undefined,
  [`min push ?= ?${MINIMUM}`]: (s, role) => {
    ruleOf(s).push = minimum(role);
  },
  [`min del(?:ete)? ?= ?${MINIMUM}`]: (s, role) => {
    ruleOf(s).delete = minimum(role);
  },
  'tag rules? present': (s) => {
    s.tagRules.push({ pattern: 'v1.*', push: 'maintainer', delete: 'owner', immutable: false });
  },
  'tag rules?': () => undefined,
  'immutable(?: tag)?(?: rules?| patterns?)? ?=? ?\\[([^\\]]*)\\]': (s, list) =>
    addImmutable(s, list.split(/, ?/)),
  '(\\d*) ?immutable (?:tag )?rules?(?: present)?': (s, count) => {
    addImmutable(
      s,
      Array.from({ length: Number(count || 1) }, (_, at) => `immutable-${at + 1}.*`),
    );
  },
  '(?:EE )?licen[cs]e (?:on|present)': () => undefined,
  '(?:EE )?licen[cs]e (?:off|absent)|no (?:EE )?licen[cs]e': () => {
    throw new NotExpressible('cellpass has no licence to switch off: what a licence brings is always on');
  },
});

export function readProject(visibility: string, registry: string, situation: Situation): void {
  if (/^mixed\b/.test(visibility)) {
    situation.targets = readMixed(visibility);
  } else {
    readPhrases('project_visibility', visibility, VISIBILITY_WORDS, situation);
    situation.targets = [readTarget(visibility, registry)];
  }
  readPhrases('registry_access_level', registry, REGISTRY_WORDS, situation);
  if (situation.topGroup.allowlist !== (situation.client !== null))
    throw new NotUnderstood(
      'an IP allowlist without a client, or the other way round,',
      'project_visibility',
    );
}

function readTarget(visibilityCell: string, registryCell: string): Target {
  return {
    label: 'project',
    visibility: firstWord('project_visibility', visibilityCell, VISIBILITIES) ?? 'public',
    registry: firstWord('registry_access_level', registryCell, REGISTRY_ACCESSES) ?? 'enabled',
  };
}

/** The word that a cell begins with; null for `n/a`. */
function firstWord<T extends string>(column: Column, cell: string, words: readonly T[]): T | null {
  const first = cell.split(/[\s;(]/)[0] ?? '';
  const word = words.find((known) => known === first.toLowerCase());
  if (word === undefined && first !== 'n/a') throw new NotUnderstood(first || 'an empty cell', column);
  return word ?? null;
}

/** `mixed (internal;private;public;public+private registry)`: one project for each. */
function readMixed(cell: string): Target[] {
  const list = /^mixed ?\((.*)\)$/.exec(cell)?.[1] ?? '';
  const targets = clauses(list).map((label): Target => {
    const [, visibility, registry] = /^(\w+)(?: ?\+ ?(\w+) registry)?$/.exec(label) ?? [];
    return {
      label,
      visibility: known(visibility, VISIBILITIES, label),
      registry: known(registry ?? 'enabled', REGISTRY_ACCESSES, label),
    };
  });
  if (targets.length === 0) throw new NotUnderstood(cell, 'project_visibility');
  return targets;
}

function known<T extends string>(word: string | undefined, words: readonly T[], label: string): T {
  const found = words.find((candidate) => candidate === word);
  if (found === undefined) throw new NotUnderstood(label, 'project_visibility');
  return found;
}

const LETTERS: Readonly<Record<string, MinimumRole | null>> = {
  m: 'maintainer',
  o: 'owner',
  a: 'admin',
  d: 'developer',
  '-': null,
  none: null,
};

function minimum(word: string): MinimumRole | null {
  const lower = word.toLowerCase();
  return MINIMUM_ROLES.find((role) => role === lower) ?? LETTERS[lower] ?? null;
}

function addImmutable({ tagRules }: Situation, patterns: readonly string[]): void {
  tagRules.push(...patterns.map((pattern) => ({ pattern, push: null, delete: null, immutable: true })));
}

function ruleOf(situation: Situation) {
  if (situation.repositoryRule === null)
    throw new NotUnderstood('a minimum without a rule', 'registry_access_level');
  return situation.repositoryRule;
}

export function roleIn(column: Column, word: string) {
  const role = ROLES.find((candidate) => candidate === word.toLowerCase());
  if (role === undefined) throw new NotUnderstood(word, column);
  return role;
}
