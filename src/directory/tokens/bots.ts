import type { Role } from '../../policy/role.ts';
import type { MemberRow, UserRow } from '../../store/directory/rows.ts';

/** The bot of a project or group token: a user that is a member with the token's role. */

/** The id of the bot's project or group, by `kind`. */
interface BotOwner {
  readonly kind: 'project' | 'group';
  readonly ownerId: number;
}

/** A bot with the user name that GitLab would give it. */
export function newBot({
  id,
  kind,
  ownerId,
  organizationId,
  randomHex,
}: BotOwner & {
  readonly id: number;
  readonly organizationId: number;
  readonly randomHex: string;
}): UserRow {
  const username = `${kind}_${ownerId}_bot_${randomHex}`;
  return {
    id,
    organization_id: organizationId,
    username,
    username_key: username,
    email: null,
    email_key: null,
    kind: kind === 'project' ? 'project_bot' : 'group_bot',
    state: 'active',
    admin: false,
    auditor: false,
    external: false,
    two_factor: false,
    password_expired: false,
    password_hash: null,
  };
}

export function botMembership({
  kind,
  ownerId,
  botId,
  role,
}: BotOwner & { readonly botId: number; readonly role: Role }): MemberRow {
  return {
    source_type: kind === 'project' ? 'Project' : 'Namespace',
    source_id: ownerId,
    user_id: botId,
    role,
    expires_at: null,
  };
}
