import { ROLES } from '../../../../src/policy/role.ts';
import { day, LONG_AGO, type Membership, type Place, type Situation } from '../situation.ts';
import { NotUnderstood, readPhrases, vocabulary } from './phrases.ts';
import { roleIn } from './project.ts';

/** Parses the column `role_on_project`: memberships, and where a token was created. */

export function readRole(cell: string, situation: Situation): void {
  readPhrases('role_on_project', cell, ROLE_WORDS, situation);
}

const ROLE = `(${ROLES.join('|')})`;

const ROLE_WORDS = vocabulary<Situation>({
  'none|no role|not a member|non-member|no membership': (s) => {
    s.memberships ??= [];
  },
  // Where a token was made.
  'project (?:in|below)(?: a)? (?:sub)?group (?:of|below)(?: its| the)? group|parent group token': (s) => {
    s.credential.reach = 'top_group';
  },
  '(?:project (?:outside|not in)(?: its| the)? group|(?:other|another|unrelated|different|foreign|sibling)(?: (?:public|internal|private))?(?: (?:project|group))?)':
    (s) => {
      s.credential.reach = 'other';
    },
  'own namespace|(?:own )?personal namespace(?: owner)?|owner of(?: the| his| own)? personal namespace': (
    s,
  ) => at(s, 'personal_namespace'),
  'owner of(?: the)? organi[sz]ation|organi[sz]ation(?: owner)?': (s) => at(s, 'organization'),
  'own(?: (?:project|group))?': (s) => {
    s.credential.reach = 'own';
  },
  'any(?: role)?': (s) => {
    s.any = true;
  },
  // Where a membership is.
  [ROLE]: (s, role) => {
    s.memberships = [
      ...(s.memberships ?? []),
      { role: roleIn('role_on_project', role), place: 'project', expiresOn: null },
    ];
  },
  '(?:via |through )?(?:parent of(?: an?| the)? invited group|group above(?: an?| the)? invited group)|(?:inherited|indirect)(?: member)? (?:in|of)(?: an?| the)? invited group':
    (s) => at(s, 'parent_of_invited_group'),
  '(?:via |through )?(?:an? |the )?invited group': (s) => at(s, 'invited_group'),
  '(?:via |through )?(?:an? |the )?(?:top(?:-level)?|root|parent) group|inherited': (s) => at(s, 'top_group'),
  '(?:via |through )?(?:an? |the )?(?:sub)?group(?: membership)?': (s) => at(s, 'group'),
  'direct(?:ly)?(?: member(?:ship)?)?': (s) => at(s, 'project'),
  'expired invitation|invitation(?: is)? expired': (s) => {
    s.invitationExpiresOn = LONG_AGO;
  },
  '(?:membership(?: is)? )?expired(?: membership)?': (s) => {
    last(s).expiresOn = LONG_AGO;
  },
  '(?:membership )?expir(?:es|ing) today': (s) => {
    last(s).expiresOn = day();
  },
  '(?:membership )?expir(?:es|ing) tomorrow': (s) => {
    last(s).expiresOn = day(1);
  },
});

/**
 * A place belongs to the role before it; a namespace or an organization implies the role owner.
 */
function at(situation: Situation, place: Place): void {
  const ownership = place === 'personal_namespace' || place === 'organization';
  if (ownership && (situation.memberships ?? []).length === 0)
    situation.memberships = [{ role: 'owner', place, expiresOn: null }];
  // For a token without a role, the place says where it was created.
  if (situation.memberships === null && (place === 'group' || place === 'top_group'))
    situation.credential.reach = place === 'group' ? 'own' : 'top_group';
  else last(situation).place = place;
}

function last({ memberships }: Situation): Membership {
  const membership = memberships?.at(-1);
  if (membership === undefined) throw new NotUnderstood('a membership without a role', 'role_on_project');
  return membership;
}
