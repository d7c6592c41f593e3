/** Samples in milliseconds of one side of a comparison. */
export interface Times {
  readonly credentials: number[];
  readonly facts: number[];
  readonly both: number[];
}

export interface Figures {
  readonly median_ms: number;
  readonly p99_ms: number;
}

export interface CaseReport {
  readonly name: string;
  readonly paths: number;
  readonly requests: number;
  readonly small: Record<keyof Times, Figures>;
  readonly large: Record<keyof Times, Figures>;
  /** Median of both queries, large to small. */
  readonly ratio: number;
}

export function newTimes(): Times {
  return { credentials: [], facts: [], both: [] };
}

export function figuresOf({ credentials, facts, both }: Times): Record<keyof Times, Figures> {
  return { credentials: figures(credentials), facts: figures(facts), both: figures(both) };
}

function figures(samples: readonly number[]): Figures {
  const ascending = [...samples].sort((a, b) => a - b);
  const at = (share: number): number => round(ascending[Math.floor((ascending.length - 1) * share)] ?? 0);
  return { median_ms: at(0.5), p99_ms: at(0.99) };
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A Markdown table: a row for each case, and each figure as median / p99. */
export function tableOf(reports: readonly CaseReport[]): string {
  const heads = ['credentials', 'facts', 'both'];
  const lines = [
    [
      'request',
      'paths',
      ...heads.map((head) => `small: ${head}`),
      ...heads.map((head) => `large: ${head}`),
      'ratio',
    ],
    ['---', ...Array.from({ length: 2 * heads.length + 2 }, () => '---:')],
    ...reports.map(({ name, paths, small, large, ratio }) => [
      name,
      paths,
      ...[small, large].flatMap(({ credentials, facts, both }) => [credentials, facts, both].map(cell)),
      ratio,
    ]),
  ];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function cell({ median_ms, p99_ms }: Figures): string {
  return `${median_ms} / ${p99_ms}`;
}
