/**
 * How many were in a segment over time, as points of a drawing: a step at every hour in which it changed. A chart library would be a
 * hundred times its size for one line (docs/decisions/0024).
 */
import { formatNumber } from '../http/i18n.ts';

export type SizePoint = { hour: Date; size: number };

/** A drawing that is stretched to its place; what is written beside it is text of the page, at equal distances. */
export type Chart = {
  width: number;
  height: number;
  line: string;
  area: string;
  /** From the top down. */
  marks: { y: number; label: string }[];
  /** Moments along the bottom. */
  times: Date[];
};

type Range = { from: Date; to: Date };
type Frame = { width: number; height: number; left: number; right: number; top: number; bottom: number };

const large: Frame = { width: 720, height: 180, left: 0, right: 0, top: 2, bottom: 2 };
const small: Frame = { width: 96, height: 28, left: 1, right: 1, top: 2, bottom: 2 };

/** @param before how many there were when the range begins */
export function sizeChart(points: SizePoint[], range: Range, before: number): Chart {
  const top = roundUp(Math.max(before, ...points.map(({ size }) => size)));
  const { y, line, area } = drawn(large, points, range, { before, top });
  const middle = new Date((range.from.getTime() + range.to.getTime()) / 2);
  return {
    width: large.width,
    height: large.height,
    line,
    area,
    marks: [top, top / 2, 0].map((value) => ({ y: y(value), label: formatNumber(value) })),
    times: [range.from, middle, range.to],
  };
}

export function sparkline(points: SizePoint[], range: Range, before: number): Pick<Chart, 'width' | 'height' | 'line'> {
  const top = Math.max(1, before, ...points.map(({ size }) => size));
  return { width: small.width, height: small.height, line: drawn(small, points, range, { before, top }).line };
}

function drawn(
  { width, height, left, right, top: above, bottom }: Frame,
  points: SizePoint[],
  { from, to }: Range,
  { before, top }: { before: number; top: number },
) {
  const span = Math.max(1, to.getTime() - from.getTime());
  const x = (at: Date) =>
    rounded(left + (Math.max(0, Math.min(span, at.getTime() - from.getTime())) / span) * (width - left - right));
  const y = (size: number) => rounded(height - bottom - (size / top) * (height - above - bottom));
  let line = `M${x(from)} ${y(before)}`;
  for (const { hour, size } of points) line += `H${x(hour)}V${y(size)}`;
  line += `H${x(to)}`;
  return { y, line, area: `${line}V${y(0)}H${x(from)}Z` };
}

const rounded = (value: number) => Math.round(value * 10) / 10;

/** The next of 2, 4, 10, 20, 40, 100 …: halves are whole numbers too. */
function roundUp(value: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)));
  return [1, 2, 4, 10].map((step) => step * power).find((step) => step >= Math.max(2, value)) ?? 10 * power;
}
