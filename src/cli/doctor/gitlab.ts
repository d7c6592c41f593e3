import type { GitlabSettings } from '../../config/gitlab.ts';
import { readDbKeyBase } from '../../config/gitlab-secrets.ts';
import { LONGEST_TTL_SECONDS } from '../../config/periods.ts';
import { type OpenGitlab, openGitlab } from '../../server/open-gitlab.ts';
import type { Database, Sql } from '../../store/database/drivers.ts';
import { readDatabaseTime, readMajorVersion } from '../../store/database/inspection.ts';
import {
  missingWriteRights,
  type Replication,
  readReplication,
  readUnjudged,
  type Unjudged,
} from '../../store/source/gitlab/inspection.ts';
import { deriveKeys } from '../../store/source/gitlab/keys.ts';
import { hasCiElsewhere, readShape, type Shape } from '../../store/source/gitlab/shape.ts';
import { readKeyProof } from '../../store/source/gitlab/state.ts';
import { type ClockTolerance, judgeClock } from './clocks.ts';
import { judgeVersion, SILENT, secondsAhead } from './database.ts';
import { check, checkWithValue, type Finding, failed, named, ok, type Verdict, warning } from './finding.ts';

/** Ends of tokens and locks are compared with this machine's clock. */
const GITLAB_CLOCK: ClockTolerance = { warnSeconds: 5, failSeconds: 60 };

interface GitlabCheckOptions {
  readonly now: () => Date;
  /** Whether Rails is beside this server, and answers what the database can't judge. */
  readonly hasRails: boolean;
}

/**
 * Looks at GitLab's databases, and changes nothing. A check fails where an answer could be wrong.
 * Never throws.
 */
export async function checkGitlab(
  settings: GitlabSettings,
  options: GitlabCheckOptions,
): Promise<readonly Finding[]> {
  const { finding, value: gitlab } = await checkWithValue('gitlab database', async () => ({
    value: await openGitlab(settings, SILENT),
    verdict: ok("GitLab's database answers"),
  }));
  if (gitlab === undefined) return [finding];
  try {
    return [finding, ...(await checkMain(gitlab, options)), ...(await checkWriting(gitlab, options))];
  } finally {
    await gitlab.close();
  }
}

async function checkMain(
  { main, ci, settings }: OpenGitlab,
  { now, hasRails }: GitlabCheckOptions,
): Promise<readonly Finding[]> {
  const general = [
    await check('gitlab database version', async () => judgeVersion(await readMajorVersion(main))),
    await check('gitlab replication', async () => judgeReplication(await readReplication(main))),
    await check('gitlab clock', async () =>
      judgeClock(
        "the GitLab database's",
        await secondsAhead(() => readDatabaseTime(main), now),
        GITLAB_CLOCK,
      ),
    ),
  ];
  const looked = await checkWithValue('gitlab columns', async () => {
    const ciIsElsewhere = await hasCiElsewhere(main);
    const shape = await readShape(main, 'main', ciIsElsewhere);
    return { value: { shape, ciIsElsewhere }, verdict: judgeColumns(shape) };
  });
  if (looked.value === undefined) return [...general, looked.finding];
  const { shape, ciIsElsewhere } = looked.value;
  return [
    ...general,
    looked.finding,
    named('gitlab rights', judgeRights(shape)),
    ...(await checkCi(ci, ciIsElsewhere)),
    ...(shape.missing.length + shape.unreadable.length > 0
      ? []
      : [await checkKey(main, shape, settings), ...(await checkUnjudged(main, shape, hasRails))]),
  ];
}

function judgeReplication({ isStandby, lagSeconds }: Replication): Verdict {
  if (!isStandby) return ok('this is the primary');
  const lag =
    lagSeconds === null ? 'which does not say how far it is behind' : `${lagSeconds.toFixed(1)} s behind`;
  return warning(
    `this is a standby, ${lag}: revoked tokens and blocked users are seen that late, and new jobs are refused until then; connect to the primary if that is too late`,
  );
}

function judgeColumns({ missing, absent }: Shape): Verdict {
  if (missing.length > 0) {
    return failed(
      `GitLab's database lacks ${missing.join(', ')}, without which nothing can be judged: cellpass needs GitLab 17.4 or later`,
    );
  }
  const news = absent.filter((name) => !name.endsWith('_protected_up_to_access_level'));
  if (news.length === 0) return ok('this GitLab has all that cellpass reads');
  return warning(
    `this GitLab has no ${news.join(', ')}: what they mean counts as absent; no need to do anything, unless GitLab should have them`,
  );
}

function judgeRights({ unreadable, has }: Shape): Verdict {
  if (unreadable.length > 0) {
    return failed(
      `this role may not read ${unreadable.join(', ')}: run the SQL that "cellpass gitlab grants" prints`,
    );
  }
  const withheld = [
    ...(has('users', 'encrypted_password') ? [] : ['users.encrypted_password, so passwords are refused']),
    ...(has('oauth_access_tokens', 'token')
      ? []
      : ['oauth_access_tokens, so an OAuth token is known by the login name oauth2 alone']),
  ];
  if (withheld.length === 0) return ok('this role may read all that cellpass reads');
  return warning(`this role may not read ${withheld.join('; ')}: grant it, or leave it so on purpose`);
}

async function checkCi(ci: Database | null, ciIsElsewhere: boolean): Promise<readonly Finding[]> {
  if (!ciIsElsewhere) {
    return [named('gitlab ci', ok("CI's tables are in the main database"))];
  }
  if (ci === null) {
    const message =
      "CI's tables are in another database, so all job tokens are answered with 503: set CELLPASS_GITLAB_CI_DATABASE_URL";
    return [named('gitlab ci', failed(message))];
  }
  const { finding, value: shape } = await checkWithValue('gitlab ci', async () => {
    const hasCopies = await hasCiElsewhere(ci);
    return { value: await readShape(ci, 'ci', true), verdict: judgeCi(hasCopies) };
  });
  if (shape === undefined) return [finding];
  return [
    finding,
    named('gitlab ci columns', judgeColumns(shape)),
    named('gitlab ci rights', judgeCiRights(shape)),
    await check('gitlab ci replication', async () => judgeReplication(await readReplication(ci))),
  ];
}

function judgeCi(hasCopies: boolean): Verdict {
  if (!hasCopies) return ok("CI's tables are in a database of their own, which answers");
  return failed(
    'CELLPASS_GITLAB_CI_DATABASE_URL names a database that has only copies of the tables of CI: name the one of CI',
  );
}

function judgeCiRights({ unreadable }: Shape): Verdict {
  if (unreadable.length === 0) return ok('this role may read all that cellpass reads there');
  return failed(
    `this role may not read ${unreadable.join(', ')}: run the SQL that "cellpass gitlab grants --ci" prints`,
  );
}

function checkKey(main: Sql, shape: Shape, { secretsFile }: GitlabSettings): Promise<Finding> {
  return check('gitlab db_key_base', async () => {
    const proof = await readKeyProof(main, shape, deriveKeys(readDbKeyBase(secretsFile)));
    if (proof === 'right') return ok("it is this GitLab's");
    if (proof === 'wrong') {
      return failed(
        "it is not this GitLab's, so no token would be found: CELLPASS_GITLAB_SECRETS_FILE must name the file of this GitLab",
      );
    }
    return warning(
      "nothing in the database tells whether it is this GitLab's (no key for job tokens, no deploy token): log in with a token to see",
    );
  });
}

async function checkUnjudged(main: Sql, shape: Shape, hasRails: boolean): Promise<readonly Finding[]> {
  const looked = await checkWithValue('gitlab features', async () => {
    const value = await readUnjudged(main, shape);
    return { value, verdict: judgeFeatures(value, hasRails) };
  });
  if (looked.value === undefined) return [looked.finding];
  return [looked.finding, ...judgeSettings(looked.value, hasRails)];
}

function judgeFeatures(found: Unjudged, hasRails: boolean): Verdict {
  const leftToRails = [
    ...(found.hasLdapUsers ? ['passwords of users with LDAP'] : []),
    ...(found.hasGranularTokens ? ['granular tokens'] : []),
    ...(found.hasCompositeIdentities ? ['jobs for two users (composite identity)'] : []),
  ];
  const refused = [
    ...(hasRails ? [] : leftToRails),
    ...found.unknownPasswordSchemes.map((scheme) => `passwords of the scheme ${scheme}`),
  ];
  if (refused.length === 0) {
    return ok(
      leftToRails.length === 0
        ? 'nothing was found that cellpass does not judge'
        : `Rails answers what cellpass can't judge: ${leftToRails.join(', ')}`,
    );
  }
  return warning(
    `cellpass can't judge these, and answers 401: ${refused.join(', ')}; their users need another credential`,
  );
}

function judgeSettings(
  { externalAuthorization, tokenMinutes }: Unjudged,
  hasRails: boolean,
): readonly Finding[] {
  const external = externalAuthorization
    ? failed(
        `GitLab asks another service who may do what (external_authorization_service_enabled), so ${hasRails ? 'Rails answers everything, and cellpass nothing' : 'everything is answered with 503'}`,
      )
    : ok('GitLab decides by itself');
  const seconds = (tokenMinutes ?? 0) * 60;
  const life =
    seconds > LONGEST_TTL_SECONDS
      ? warning(
          `container_registry_token_expire_delay is ${tokenMinutes} minutes: tokens of cellpass live an hour at most`,
        )
      : ok(tokenMinutes === null ? 'GitLab does not say' : `${tokenMinutes} minutes`);
  return [named('gitlab external authorization', external), named('gitlab token life', life)];
}

async function checkWriting(
  { write }: OpenGitlab,
  { hasRails }: GitlabCheckOptions,
): Promise<readonly Finding[]> {
  return [
    await check('gitlab writing', async () => {
      if (write === null) {
        return warning(
          `there is no role for writing: the first push to a repository that GitLab does not list is ${hasRails ? 'left to Rails' : 'refused'}, and the last use of tokens is not noted; set CELLPASS_GITLAB_WRITE_DATABASE_URL`,
        );
      }
      const missing = await missingWriteRights(write);
      if (missing.length === 0) return ok('the role may note new images and the last use of tokens');
      return failed(
        `the role lacks ${missing.join(', ')}: run the SQL that "cellpass gitlab grants --write-role NAME" prints`,
      );
    }),
  ];
}
