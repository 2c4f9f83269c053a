/** One promise, held against a named ceiling that was measured in the same run on the same machine. */
export type BenchResult = {
  promise: string;
  /** Ours, and what it is measured in. */
  figure: number;
  unit: string;
  /** What we are held against, and its figure in the same unit. */
  ceiling: string;
  ceiling_figure: number;
  /** figure / ceiling_figure */
  ratio: number;
  /** `>= 0.4`, `<= 1.5` */
  target: string;
  /** Sizes, percentiles and whatever else a reader needs. */
  details?: Record<string, unknown>;
};

/** @param share 0.5 for the median, 0.99 for p99 */
export function percentile(values: number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** An hour of silence looks like a hang. */
export const progressOf = (bench: string) => (what: string) =>
  console.error(`${bench}: ${what}, ${Math.round(performance.now() / 1000)} s`);
