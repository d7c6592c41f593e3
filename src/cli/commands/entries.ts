import { Command, Option } from 'commander';
import { ROLES, VISIBILITIES } from '../../policy/role.ts';
import type { Terminal } from '../../terminal.ts';
import { type ChangeFlags, makeChange, readPassword, withChangeOptions } from '../client/single-change.ts';

/** Commands that change one entry of the directory: users, members, groups, projects. */

interface AddFlags extends ChangeFlags {
  readonly email?: string;
  readonly organization?: string;
  readonly serviceAccount?: boolean;
  readonly external?: boolean;
  readonly passwordStdin?: boolean;
}

export function userCommand(terminal: Terminal): Command {
  const user = new Command('user').description('add, block and unblock users, and set their passwords');
  withChangeOptions(
    user
      .command('add')
      .description('add a user')
      .argument('<name>')
      .option('--email <address>', 'by which the user may log in, too')
      .option('--organization <path>', 'default: the first organization')
      .option('--service-account', 'an account for machines')
      .option('--external', 'a user who sees no internal project')
      .option('--password-stdin', 'read a password from standard input'),
  ).action((name: string, options: AddFlags) => {
    const { email, organization, serviceAccount, external, passwordStdin } = options;
    return makeChange(terminal, options, {
      action: 'user_add',
      user: name,
      ...(email !== undefined && { email }),
      ...(organization !== undefined && { organization }),
      ...(serviceAccount === true && { kind: 'service_account' as const }),
      ...(external === true && { external }),
      ...(passwordStdin === true && { password: readPassword(terminal) }),
    });
  });
  const states = [
    ['block', 'user_block', 'refuse all credentials of a user from now on'],
    ['unblock', 'user_unblock', 'take them again'],
  ] as const;
  for (const [command, action, description] of states) {
    withChangeOptions(user.command(command).description(description).argument('<name>')).action(
      (name: string, options: ChangeFlags) => makeChange(terminal, options, { action, user: name }),
    );
  }
  withChangeOptions(
    user
      .command('set-password')
      .description('set the password of a user, which comes from standard input')
      .argument('<name>'),
  ).action((name: string, options: ChangeFlags) =>
    makeChange(terminal, options, {
      action: 'user_set_password',
      user: name,
      password: readPassword(terminal),
    }),
  );
  return user;
}

interface MemberFlags extends ChangeFlags {
  readonly group?: string;
  readonly project?: string;
  readonly role: string;
  readonly expiresAt?: string;
}

export function memberCommand(terminal: Terminal): Command {
  const member = new Command('member').description(
    'add and remove members of groups and projects, and change their roles',
  );
  const place = ({ group, project }: MemberFlags) => ({
    ...(group !== undefined && { group }),
    ...(project !== undefined && { project }),
  });
  const command = (name: string, description: string): Command =>
    withChangeOptions(
      member
        .command(name)
        .description(description)
        .argument('<user>')
        .addOption(new Option('--group <path>', 'the group').conflicts('project'))
        .addOption(new Option('--project <path>', 'the project').conflicts('group')),
    );
  const roles = [
    ['add', 'member_add', 'make a user a member of a group or project'],
    ['role', 'member_role', 'change the role of a direct member'],
  ] as const;
  for (const [name, action, description] of roles) {
    const changing = command(name, description)
      .addOption(new Option('--role <role>', 'the role').choices(ROLES).makeOptionMandatory())
      .option('--expires-at <date>', 'the first day on which the user is no member any more, yyyy-mm-dd');
    changing.action((user: string, options: MemberFlags) => {
      refuseWithoutPlace(changing, options);
      const { role, expiresAt } = options;
      const end = expiresAt === undefined ? {} : { expires_at: expiresAt };
      return makeChange(terminal, options, { action, user, role, ...place(options), ...end });
    });
  }
  const removing = command('remove', 'end the direct membership of a user');
  removing.action((user: string, options: MemberFlags) => {
    refuseWithoutPlace(removing, options);
    return makeChange(terminal, options, { action: 'member_remove', user, ...place(options) });
  });
  return member;
}

function refuseWithoutPlace(command: Command, { group, project }: MemberFlags): void {
  if (group === undefined && project === undefined)
    command.error('error: give --group or --project', { exitCode: 2 });
}

export function groupCommand(terminal: Terminal): Command {
  const group = new Command('group').description('rename groups');
  withChangeOptions(
    group
      .command('rename')
      .description('give a group another path, with all below it; patterns of protected repositories follow')
      .argument('<old>', 'the path')
      .argument('<new>', 'the new path'),
  ).action((old: string, path: string, options: ChangeFlags) =>
    makeChange(terminal, options, { action: 'group_rename', group: old, path }),
  );
  return group;
}

export function projectCommand(terminal: Terminal): Command {
  const project = new Command('project').description('move projects, and change who sees them');
  withChangeOptions(
    project
      .command('move')
      .description('give a project another path; patterns of protected repositories follow')
      .argument('<old>', 'the path')
      .argument('<new>', 'the new path'),
  ).action((old: string, path: string, options: ChangeFlags) =>
    makeChange(terminal, options, { action: 'project_move', project: old, path }),
  );
  const visibility = project
    .command('visibility')
    .description('change who sees a project')
    .argument('<path>')
    .argument('<level>', VISIBILITIES.join(', '));
  withChangeOptions(visibility).action((path: string, level: string, options: ChangeFlags) => {
    const known = VISIBILITIES.find((one) => one === level);
    if (known === undefined)
      return visibility.error(`error: the level must be one of ${VISIBILITIES.join(', ')}`, { exitCode: 2 });
    return makeChange(terminal, options, { action: 'project_visibility', project: path, visibility: known });
  });
  return project;
}
