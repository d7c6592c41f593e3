export interface Figures {
  readonly median_ms: number;
  readonly p99_ms: number;
}

export interface CaseReport {
  readonly name: string;
  readonly paths: number;
  readonly requests: number;
  readonly small: Figures;
  readonly large: Figures;
  /** The median in the large directory divided by the median in the small one. */
  readonly ratio: number;
}

export function figuresOf(samplesMs: readonly number[]): Figures {
  const ascending = [...samplesMs].sort((a, b) => a - b);
  const at = (share: number): number => round(ascending[Math.floor((ascending.length - 1) * share)] ?? 0);
  return { median_ms: at(0.5), p99_ms: at(0.99) };
}

export function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** A Markdown table with a row for each case; each figure is median / p99. */
export function tableOf(reports: readonly CaseReport[]): string {
  const lines = [
    ['request', 'paths', 'small', 'large', 'ratio'],
    ['---', '---:', '---:', '---:', '---:'],
    ...reports.map(({ name, paths, small, large, ratio }) => [name, paths, cell(small), cell(large), ratio]),
  ];
  return lines.map((line) => `| ${line.join(' | ')} |`).join('\n');
}

function cell({ median_ms, p99_ms }: Figures): string {
  return `${median_ms} / ${p99_ms}`;
}
