const MAX_SHOWN = 64;

/** A name from outside, made safe to put into a message: quoted, escaped, and cut, since it may be megabytes. */
export function quoteName(name: string): string {
  return JSON.stringify(name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN)}…` : name);
}
