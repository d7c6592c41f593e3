import type { Middleware } from 'koa';
import { timestamp } from '../../directory/document/fields.ts';
import type { ComparisonReport } from '../../store/records/differences.ts';
import type { Contract } from '../contract.ts';
import type { ComparisonReportView } from '../types.ts';

export interface DifferencesResource {
  /**
   * What was compared, also what this process has not written yet.
   * @throws {CellpassError} `conflict` where there is no Rails beside this server.
   */
  report(since: Date): Promise<ComparisonReport>;
}

/** How the answers of GitLab Rails and cellpass differ. */
export function listDifferences(contract: Contract, differences: DifferencesResource): Middleware {
  const parameters = contract.parametersOf('listDifferences');
  return async (ctx) => {
    const { data } = timestamp.safeParse(parameters(ctx).query?.since);
    const { groups, ...counts } = await differences.report(new Date(data ?? 0));
    ctx.body = {
      ...counts,
      groups: groups.map(({ credential, action, rails, cellpass, rule, count, lastSeen, requestId }) => ({
        credential: credential as ComparisonReportView['groups'][number]['credential'],
        action,
        rails: { ...rails, actions: [...rails.actions] },
        cellpass: { ...cellpass, actions: [...cellpass.actions] },
        rule,
        count,
        last_seen: lastSeen.toISOString(),
        request_id: requestId,
      })),
    } satisfies ComparisonReportView;
  };
}
