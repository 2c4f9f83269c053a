/** Equal for equal parts of definitions, in whatever order their fields were stored. */
export function keyOf(part: unknown): string {
  return JSON.stringify(part, (_name, value) =>
    value !== null && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
