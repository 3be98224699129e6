/** How text for people is laid out: in the width of their terminal, without breaking a word. */

/** A last column narrower than this is no column to read in. */
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
 * Columns padded to their widest cell, two spaces apart. A table that is wider than the terminal wraps its last
 * column; where that leaves too little room, each row becomes fields below one another.
 */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  columns = terminalColumns(),
): string {
  const lines = [header, ...rows];
  const widths = header.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
  const room = columns - before;
  if (room >= (widths.at(-1) ?? 0)) return lines.map((line) => formatRow(line, widths)).join("\n");
  if (room >= NARROWEST_COLUMN) return lines.flatMap((line) => formatWrapped(line, widths, room)).join("\n");
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
  return shown.flatMap(([key, value]) => formatWrapped([key, `${value}`], [width], columns - width - 2)).join("\n");
}

function formatRow(cells: readonly string[], widths: readonly number[]): string {
  return cells
    .map((cell, column) => cell.padEnd(widths[column] ?? 0))
    .join("  ")
    .trimEnd();
}

/** A row whose last cell goes on in its own column. */
function formatWrapped(cells: readonly string[], widths: readonly number[], room: number): string[] {
  const empty = cells.slice(0, -1).map(() => "");
  return wrapText(cells.at(-1) ?? "", room).map((line, index) =>
    formatRow([...(index === 0 ? cells.slice(0, -1) : empty), line], widths),
  );
}
