/** The measurements of one case. */
interface CaseFigures {
  readonly name: string;
  readonly n: number;
  readonly median_us: number;
  readonly p90_us: number;
  /** The case's median divided by the lowest median of its group. */
  readonly ratio: number;
}

export interface GroupFigures {
  readonly name: string;
  /** The difference between the medians of the two equal cases: the noise of the machine. */
  readonly noise: number;
  readonly cases: readonly CaseFigures[];
  readonly passed: boolean;
}

/** The medians of a group may differ by this much at most. */
const MOST_RATIO = 1.05;

export interface Samples {
  readonly name: string;
  /** The times in microseconds. */
  readonly micros: readonly number[];
}

/** The first two cases are the same request. */
export function figuresOf(name: string, samples: readonly Samples[]): GroupFigures {
  const sorted = samples.map((one) => ({ ...one, micros: [...one.micros].sort((a, b) => a - b) }));
  const medians = sorted.map(({ micros }) => quantile(micros, 0.5));
  const lowest = Math.min(...medians);
  const [a = Number.NaN, b = Number.NaN] = medians;
  return {
    name,
    noise: thousandths(Math.max(a, b) / Math.min(a, b)),
    cases: sorted.map((one) => ({
      name: one.name,
      n: one.micros.length,
      median_us: Math.round(quantile(one.micros, 0.5)),
      p90_us: Math.round(quantile(one.micros, 0.9)),
      ratio: thousandths(quantile(one.micros, 0.5) / lowest),
    })),
    passed: medians.every((median) => median / lowest <= MOST_RATIO),
  };
}

/** A Markdown table with a heading and a verdict. */
export function textOf({ name, noise, cases, passed }: GroupFigures): string {
  const rows = cases.map(({ name: one, n, median_us, p90_us, ratio }) =>
    [one, n, median_us, p90_us, ratio.toFixed(3)].join(' | '),
  );
  const verdict = passed ? 'alike' : `DIFFERENT: a median is over ${MOST_RATIO} times the lowest`;
  return [
    `${name}\n`,
    '| case | n | median µs | p90 µs | ratio |',
    '|---|---:|---:|---:|---:|',
    ...rows.map((row) => `| ${row} |`),
    `\nnoise (the same request twice): ${noise.toFixed(3)}; ${verdict}\n`,
  ].join('\n');
}

function quantile(ascending: readonly number[], share: number): number {
  return ascending[Math.floor((ascending.length - 1) * share)] ?? Number.NaN;
}

function thousandths(value: number): number {
  return Math.round(value * 1000) / 1000;
}
