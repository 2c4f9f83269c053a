/**
 * Tables for a spreadsheet. What others wrote must stay text there: a cell that a spreadsheet would take for a formula begins with an
 * apostrophe, also in full-width signs, and everything is quoted (threat E2).
 */
const formula = /^[\s]*[=+\-@＝＋－＠\t\r]/;

function cell(value: string): string {
  const safe = formula.test(value) ? `'${value}` : value;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** With a byte order mark, or Excel reads Chinese in the code page of the machine. */
export function toCsv(rows: string[][]): string {
  return `\uFEFF${rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')}`;
}
