import { day, LONG_AGO, type Situation, type TokenKind, type UserState } from '../situation.ts';
import { NotExpressible, readPhrases, vocabulary } from './phrases.ts';

/** Parses the column `principal`: the subject, and what is wrong with its credential. */

export function readPrincipal(cell: string, situation: Situation): void {
  readPhrases('principal', cell, PRINCIPAL_WORDS, situation);
}

const USER_KINDS: readonly TokenKind[] = ['pat', 'password', 'project_access_token', 'group_access_token'];
const STATE = '(active|blocked|locked|unconfirmed|deactivated)';

const PRINCIPAL_WORDS = vocabulary<Situation>({
  // The login name.
  'empty basic(?: credentials| header| auth)?': (s) => {
    s.credential.username = 'empty';
    s.credential.secret = 'empty';
    s.credential.named = ['none'];
  },
  'empty (?:user ?name|login)(?: name)?': (s) => {
    s.credential.username = 'empty';
  },
  'empty password': (s) => {
    s.credential.secret = 'empty';
  },
  '(?:arbitrary|wrong|another|other|random|different|foreign|incorrect) (?:user ?name|login)(?: name)?|(?:unknown|non-?existent|no such) user(?: ?name)?':
    (s) => {
      s.credential.username = 'wrong';
    },
  '(?:e-?mail)(?: address)?(?: as (?:user ?name|login))?': (s) => {
    s.credential.username = 'email';
  },
  '(?:as )?(?:own |right |correct |matching )?(?:user ?name|login name)': () => undefined,
  // Passwords.
  '(?:password|internal) auth(?:entication)?(?: for git)?(?: is)? (?:off|disabled)': (s) => {
    s.settings.password_authentication = false;
  },
  '(?:password|internal) auth(?:entication)?(?: for git)?(?: is)? (?:on|enabled)': () => undefined,
  '(?:expired password|password(?: is| has)? expired)': (s) => {
    s.user.password_expired = true;
  },
  '(?:wrong|incorrect|bad) password': (s) => {
    s.credential.secret = 'wrong';
  },
  '(?:correct |right |valid )?password': () => undefined,
  '(?:without|no) (?:2fa|two-factor(?: authentication)?)': () => undefined,
  '(?:2fa|two-factor(?: authentication)?)(?: enabled| on)?': (s) => {
    s.user.two_factor = true;
  },
  '(?:wrong|incorrect|bad|unknown) (?:secret|token)': (s) => {
    s.credential.secret = 'wrong';
  },
  // Access tokens.
  '(?:fine-?grained|granular) (?:pat|token|access token|personal access token)s?': () => {
    throw new NotExpressible('cellpass knows no granular tokens');
  },
  "namespace (?:does not|doesn't) enforce(?: granular(?: tokens)?)?": () => undefined,
  'namespace enforces?(?: granular(?: tokens)?)?': () => {
    throw new NotExpressible('cellpass knows no granular tokens, so no namespace can ask for them');
  },
  '(?:unknown|made-up|random|wrong) (?:pat|personal access token)': (s) => {
    name(s, ['pat']);
    s.credential.secret = 'wrong';
  },
  '(?:legacy )?(?:pat|personal access token)s?': (s) => name(s, ['pat']),
  'project access token': (s) => name(s, ['project_access_token']),
  'group access token': (s) => name(s, ['group_access_token']),
  [`${STATE} bot|bot(?: is)? ${STATE}`]: (s, before, after) => {
    s.credential.botState = (before || after).toLowerCase() as UserState;
  },
  bot: () => undefined,
  // Deploy tokens.
  'group deploy token': (s) => {
    name(s, ['deploy_token']);
    s.credential.ofGroup = true;
  },
  '(?:project )?deploy token': (s) => name(s, ['deploy_token']),
  'without (?:any )?registry (?:scope|ability|abilitie)s?|no registry scopes?': () => undefined,
  // Jobs.
  '(?:job(?: is)? )?(?:not running|finished|completed|done|succeeded|failed|cancell?ed)': (s) => {
    s.job.running = false;
  },
  'job running|running(?: job)?': () => undefined,
  '(?:ci )?job(?: token)?|ci token': (s) => name(s, ['job_token']),
  'user set': () => undefined,
  '(?:without|no)(?: an?)? user': (s) => {
    s.job.hasUser = false;
  },
  '(?:ci|builds?)(?: is| are)? (?:disabled|off)(?: (?:on|for|in)(?: its| the| own)? ?project)?': (s) => {
    s.job.ciEnabled = false;
  },
  '(?:own )?project(?: is)? (?:scheduled for|pending) deletion': (s) => {
    s.job.deletionScheduled = true;
  },
  "target (?:does not|doesn't) allowlist(?: the)?(?: origin)?|(?:origin )?not (?:on (?:the )?allowlist|allow-?listed|listed)":
    (s) => {
      s.job.allowlist = 'nobody';
    },
  "(?:target )?allowlists?(?: the| a)? ?(?:group (?:above|of)(?: the)? origin|origin(?:'s)?(?: parent)? group)(?: project)?":
    (s) => {
      s.job.allowlist = 'group_of_origin';
    },
  '(?:target )?allowlists?(?: the)? origin(?: project)?|(?:origin )?allow-?listed': (s) => {
    s.job.allowlist = 'origin';
  },
  '(?:target )?(?:(?:has )?no (?:allowlist|limit|allowlist limit)|allowlist (?:off|disabled|not enforced)|open allowlist|allows anyone|open to anyone)':
    (s) => {
      s.job.allowlist = 'anyone';
    },
  // People.
  'admin mode (?:on|enabled)': () => undefined,
  'admin mode (?:off|disabled)': (s) => {
    s.user.adminModeOff = true;
  },
  '(?:instance )?admin(?:istrator)?s?': (s) => {
    s.user.admin = true;
    name(s, USER_KINDS);
  },
  'owner of(?: the| an)? organi[sz]ation|organi[sz]ation owner': (s) => {
    s.memberships = [{ role: 'owner', place: 'organization', expiresOn: null }];
    name(s, USER_KINDS);
  },
  'auditor(?: user)?': (s) => {
    s.user.auditor = true;
    name(s, USER_KINDS);
  },
  '(?:user is )?external(?: user)?': (s) => {
    s.user.external = true;
    name(s, USER_KINDS);
  },
  'service account': (s) => {
    s.user.kind = 'service_account';
    name(s, USER_KINDS);
  },
  'anonymous|no credentials': (s) => name(s, ['none']),
  // Phrases for all credentials.
  'expir(?:es|ing) today': (s) => {
    s.credential.expiresOn = day();
  },
  'expir(?:es|ing) tomorrow': (s) => {
    s.credential.expiresOn = day(1);
  },
  expired: (s) => {
    s.credential.expiresOn = LONG_AGO;
  },
  revoked: (s) => {
    s.credential.revoked = true;
  },
  'valid|usable|not (?:expired|revoked)': () => undefined,
  // These must come after the bots, because a bot's state has the same words.
  [`${STATE}(?: user| owner)?|(?:user|owner)(?: is)? ${STATE}`]: (s, before, after) => {
    s.user.state = (before || after).toLowerCase() as UserState;
    name(s, USER_KINDS);
  },
  '(?:access )?token': () => undefined,
  'user|human': (s) => name(s, USER_KINDS),
});

/**
 * The first noun that names a credential counts, and a person's noun only if there is no such noun:
 * "PAT of a blocked user".
 */
function name({ credential }: Situation, kinds: readonly TokenKind[]): void {
  if (credential.named === null || credential.named === USER_KINDS) credential.named = kinds;
}
