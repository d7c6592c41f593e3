/**
 * A mutant that no test can notice, and the reason. The line's text identifies it, so that an
 * outdated entry is found.
 */
export interface Equivalent {
  readonly file: string;
  /** The source line, trimmed. */
  readonly code: string;
  /** The change, as the report prints it. */
  readonly mutation: string;
  readonly because: string;
}

export const EQUIVALENT: readonly Equivalent[] = [
  {
    file: 'src/policy/grant.ts',
    code: "if (scope.type === 'registry') return null;",
    mutation: "scope.type === 'registry' → false",
    because: "the registry's own names have one component, and no project path has so few",
  },
  {
    file: 'src/policy/grant.ts',
    code: "if (scope.type === 'registry') return null;",
    mutation: "'registry' → 'mutated'",
    because: "the registry's own names have one component, and no project path has so few",
  },
  {
    file: 'src/policy/protection.ts',
    code: "const [head = '', ...rest] = lowerCaseAscii(pattern).split('*');",
    mutation: "'' → 'mutated'",
    because: 'split always gives a first part; the default is for the compiler',
  },
  {
    file: 'src/policy/protection.ts',
    code: "return isAbove(minimum, standing.admin ? 'admin' : standing.role);",
    mutation: "'admin' → 'mutated'",
    because: 'nothing is above an unknown level, as nothing is above admin; the compiler refuses the word',
  },
  {
    file: 'src/policy/role.ts',
    code: 'minimal_access: 5,',
    mutation: '5 → -5',
    because: 'the lowest level stays the lowest',
  },
  {
    file: 'src/policy/role.ts',
    code: 'admin: 60,',
    mutation: '60 → 600',
    because: 'the highest level stays the highest',
  },
  {
    file: 'src/policy/role.ts',
    code: 'return LEVEL[a] < LEVEL[b] ? a : b;',
    mutation: '< → <=',
    because: 'only the same role has the same level',
  },
  {
    file: 'src/policy/rules.ts',
    code: 'const onProject = { ...asked, project: asked.project };',
    mutation: '{ ...asked, project: asked.project } → {...asked}',
    because: 'the same project; said again for its narrower type',
  },
  {
    file: 'src/policy/rules.ts',
    code: 'return person?.external !== true || (role !== null && PULLS_INTERNAL_AS_EXTERNAL[role]);',
    mutation: 'role !== null && PULLS_INTERNAL_AS_EXTERNAL[role] → PULLS_INTERNAL_AS_EXTERNAL[role]',
    because: 'the table has no entry for null, which is as good as false',
  },
  {
    file: 'src/policy/rules.ts',
    code: "return subject.kind === 'job' && subject.projectId === project.id;",
    mutation: "subject.kind === 'job' && subject.projectId === project.id → subject.projectId === project.id",
    because: 'only a job has a project of its own',
  },
  {
    file: 'src/policy/scope.ts',
    code: "return values.flatMap((value) => value.split(/\\s+/)).filter((text) => text !== '');",
    mutation: '/\\s+/ → /\\s/',
    because: 'what lies between two spaces is empty and left out',
  },
  {
    file: 'src/policy/scope.ts',
    code: 'const type = TYPE.exec(text.slice(0, Math.max(first, 0)))?.[1];',
    mutation: '0 → 1',
    because: 'a text without a colon is dropped in the next line, whatever its type',
  },
  {
    file: 'src/policy/scope.ts',
    code: 'const type = TYPE.exec(text.slice(0, Math.max(first, 0)))?.[1];',
    mutation: '0 → -1',
    because: 'a text without a colon is dropped in the next line, whatever its type',
  },
  {
    file: 'src/policy/standing.ts',
    code: 'if (best.role === null || candidate.role === null) return best.role === null;',
    mutation: 'best.role === null || candidate.role === null → false',
    because: 'a candidate always has a role, and any role is above none',
  },
  {
    file: 'src/policy/standing.ts',
    code: 'if (best.role === null || candidate.role === null) return best.role === null;',
    mutation: '|| → &&',
    because: 'a candidate always has a role, and any role is above none',
  },
  {
    file: 'src/policy/standing.ts',
    code: 'if (best.role === null || candidate.role === null) return best.role === null;',
    mutation: 'best.role === null || candidate.role === null → best.role === null',
    because: 'a candidate always has a role, and any role is above none',
  },
  {
    file: 'src/policy/standing.ts',
    code: 'if (best.role === null || candidate.role === null) return best.role === null;',
    mutation: 'best.role === null || candidate.role === null → candidate.role === null',
    because: 'a candidate always has a role, and any role is above none',
  },
  {
    file: 'src/policy/descriptions.ts',
    code: 'return `through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation?.role}`;',
    mutation:
      '`through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation?.role}` → `through group ${invitation.group} (${role} there), invited to ${path} as ${invitation?.role}`',
    because: 'a membership through an invitation has one; the compiler can not know',
  },
  {
    file: 'src/policy/descriptions.ts',
    code: 'return `through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation?.role}`;',
    mutation:
      '`through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation?.role}` → `through group ${invitation?.group} (${role} there), invited to ${path} as ${invitation.role}`',
    because: 'a membership through an invitation has one; the compiler can not know',
  },
  {
    file: 'src/policy/descriptions.ts',
    code: "return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} ${word} ${items.at(-1)}`;",
    mutation: "'' → 'mutated'",
    because: 'a list of one has nothing to put between',
  },
  {
    file: 'src/policy/rules.ts',
    code: "if (project === null || asked.scope.type === 'registry') return [judge(asked)];",
    mutation: "project === null || asked.scope.type === 'registry' → project === null",
    because: 'a registry scope has no project, so the other half of the condition decides the same',
  },
  {
    file: 'src/policy/rules.ts',
    code: "if (project === null || asked.scope.type === 'registry') return [judge(asked)];",
    mutation: "'registry' → 'mutated'",
    because: 'a registry scope has no project, so the other half of the condition decides the same',
  },
  {
    file: 'src/policy/rules.ts',
    code: 'verdict: decide({ ...asked, project }) ?? null,',
    mutation: '{ ...asked, project } → {...asked}',
    because: 'the spread holds the project already; naming it once more tells the compiler that it is there',
  },
  {
    file: 'src/policy/reasons.ts',
    code: '...when(!mayPull({ ...ruling, project }), `a job whose user is ${rolesThat(ruling, project)} on ${path}`),',
    mutation: '{ ...ruling, project } → {...ruling}',
    because: 'the spread holds the project already; naming it once more tells the compiler that it is there',
  },
  {
    file: 'src/policy/trace.ts',
    code: "obstacles: ruling.verdict === 'grant' ? [] : obstaclesTo(ruling),",
    mutation: "ruling.verdict === 'grant' → false",
    because:
      'of a granted action the rules before the one that grants have said nothing, so the list is empty either way',
  },
  {
    file: 'src/policy/trace.ts',
    code: "obstacles: ruling.verdict === 'grant' ? [] : obstaclesTo(ruling),",
    mutation: "'grant' → 'forbid'",
    because:
      'of a granted action the rules before the one that grants have said nothing, so the list is empty either way',
  },
  {
    file: 'src/policy/trace.ts',
    code: '.slice(0, granted < 0 ? asked.length : granted)',
    mutation: '< → <=',
    because: 'no list of rules begins with one that grants',
  },
  {
    file: 'src/policy/trace.ts',
    code: '.slice(0, granted < 0 ? asked.length : granted)',
    mutation: '0 → 1',
    because: 'no list of rules begins with one that grants',
  },
];
