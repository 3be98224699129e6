import { realpathSync, statSync } from "node:fs";
import { dirname, join } from "node:path";

export type SystemFile = { readonly path: string } | { readonly path: null; readonly reason: string };

/**
 * A file of the system that is loaded or run although no license names it: from fixed directories below a root, and
 * only if neither it nor its directory could have been changed by other users. Null where none of them has it.
 */
export function findSystemFile(name: string, root: string, directories: readonly string[]): SystemFile | null {
  for (const directory of directories) {
    const found = realpathOf(join(root, directory, name));
    if (found === undefined) continue;
    if (!statSync(found).isFile()) return { path: null, reason: `${name} is not a file` };
    if (belongsToSystem(found) && belongsToSystem(dirname(found))) return { path: found };
    return { path: null, reason: `${name} or its directory can be changed by other users` };
  }
  return null;
}

function realpathOf(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

/** Only root, or the user who would be attacked, could have put something else there. */
function belongsToSystem(path: string): boolean {
  const { mode, uid } = statSync(path);
  return (mode & 0o022) === 0 && (uid === 0 || uid === process.getuid?.());
}
