/** How text for people is laid out: in the width of their terminal, without breaking a word. */

/** A column of text narrower than this is none to read in. */
const NARROWEST_COLUMN = 24;

/** The terminal's width, or what COLUMNS says where there is none; unlimited for programs. */
export function terminalColumns(): number {
  const columns = process.stdout.columns || Number(process.env.COLUMNS);
  return columns > 0 ? Math.max(columns, 40) : Number.POSITIVE_INFINITY;
}

/** Lines of at most `columns` characters, unless a single word is longer; lines of the text stay lines. */
export function wrapText(text: string, columns = terminalColumns()): string[] {
  return text.split("\n").flatMap((line) => {
    if (line.length <= columns) return [line];
    const lines: string[] = [];
    let current = "";
    for (const word of line.split(" ")) {
      const longer = current === "" ? word : `${current} ${word}`;
      if (longer.length > columns && current !== "") {
        lines.push(current);
        current = word;
      } else current = longer;
    }
    return [...lines, current];
  });
}

/**
 * Columns padded to their widest cell, two spaces apart. In a table that is wider than the terminal long texts go on
 * in their column; where that leaves too little room, each row becomes fields below one another.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns = terminalColumns(),
): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  if (fitColumns(widths, lines, columns)) return lines.flatMap((line) => formatRow(line, widths)).join("\n");
  const names = header.map((name) => name.toLowerCase());
  return rows
    .map((row) =>
      formatFields(
        names.map((name, column) => [name, row[column] ?? ""] as const),
        columns,
      ),
    )
    .join("\n\n");
}

/** `key  value` lines with aligned values, wrapped below themselves; pairs without a value are left out. */
export function formatFields(
  fields: readonly (readonly [string, string | number | null | undefined])[],
  columns = terminalColumns(),
): string {
  const shown = fields.filter(([, value]) => value !== null && value !== undefined);
  const width = Math.max(0, ...shown.map(([key]) => key.length));
  return shown.flatMap(([key, value]) => formatRow([key, `${value}`], [width, columns - width - 2])).join("\n");
}

/** Takes from the widest columns until the table fits. False where a column would become too narrow to read. */
function fitColumns(widths: number[], lines: readonly (readonly string[])[], columns: number): boolean {
  const last = widths.length - 1;
  const narrowest = widths.map((width, column) => {
    // A long word may stand out of the last column; in any other it would push the next one away.
    const words = column === last ? [] : lines.flatMap((line) => (line[column] ?? "").split(" "));
    return Math.min(width, Math.max(NARROWEST_COLUMN, ...words.map(({ length }) => length)));
  });
  for (let excess = widths.reduce((sum, width) => sum + width + 2, -2) - columns; excess > 0; excess--) {
    const spare = widths.map((width, column) => (width > narrowest[column]! ? width : 0));
    const widest = Math.max(...spare);
    if (widest === 0) return false;
    widths[spare.lastIndexOf(widest)]!--;
  }
  return true;
}

/** A row, each of whose cells goes on below itself where it is wider than its column. */
function formatRow(cells: readonly string[], widths: readonly number[]): string[] {
  const wrapped = widths.map((width, column) => wrapText(cells[column] ?? "", width));
  const height = Math.max(1, ...wrapped.map(({ length }) => length));
  return Array.from({ length: height }, (_, line) =>
    wrapped
      .map((cell, column) => (cell[line] ?? "").padEnd(column === wrapped.length - 1 ? 0 : widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}
