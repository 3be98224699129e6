import { constants, type Stats } from "node:fs";
import { access, lstat, opendir, statfs } from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { SignetError } from "../../errors.ts";
import type { Examination } from "./examine.ts";
import { Findings } from "./finding.ts";

const WRITABLE_BY_OTHERS = 0o022;
const READABLE_BY_OTHERS = 0o044;
const ENTERABLE_BY_OTHERS = 0o011;
/** Only their owner may read these, which are secret or say who may call. */
const secretPlaces = /^(host|ledger|audit|homes)(\/|$)|^access\.json$|\.key$/;
/** What an interrupted write leaves behind. */
const leftover = /\.new$|^license\.(next|old)|\.tmp$/;
/** Bundles have hundreds of files; more than this was not put here by Signet. */
const MAX_ENTRIES = 20_000;
const MAX_NAMED = 3;
const OWNER_NEXT = "Run this as the user that the server runs as, or give it the files with chown.";

interface Wrong {
  readonly owner: string[];
  readonly writable: string[];
  readonly readable: string[];
  readonly odd: string[];
  readonly leftovers: string[];
}

/** Owner and permissions of the data directory and of everything in it, and whether the server could write. */
export async function examineFiles(examination: Examination): Promise<Findings> {
  const findings = new Findings("files");
  const { data, around } = examination;
  const root = await lstat(data.root).catch(() => null);
  if (root === null) {
    findings.note("data directory", "is not there yet", "`signet host request` begins it, or name it with --data.");
    return findings;
  }
  if (!root.isDirectory()) {
    findings.problem("data directory", "is not a directory", "Name the right one with --data or SIGNET_DATA.");
    return findings;
  }
  if (root.uid === around.uid) findings.ok("data directory", "belongs to the user who asks");
  else {
    const found = `belongs to user ${root.uid}, this is user ${around.uid}`;
    findings.problem("data directory", found, OWNER_NEXT);
  }
  const wrong: Wrong = { owner: [], writable: [], readable: [], odd: [], leftovers: [] };
  const seen = await walk(data.root, root, wrong);
  reportWrong(findings, wrong, seen);
  await reportWritable(findings, examination);
  return findings;
}

/** Returns how many entries there are; whatever is wrong with one is noted in `wrong`. Links are not followed. */
async function walk(top: string, root: Stats, wrong: Wrong): Promise<number> {
  judge(".", root, { owner: root.uid, isReachable: isEnterable(root) }, wrong);
  let seen = 1;
  const waiting = [{ directory: top, isReachable: isEnterable(root) }];
  for (let place = waiting.pop(); place !== undefined; place = waiting.pop()) {
    const { directory, isReachable } = place;
    const entries = await opendir(directory).catch(() => null);
    if (entries === null) continue; // not ours to read: `owner` or `writable` says why
    for await (const { name } of entries) {
      if (++seen > MAX_ENTRIES) return seen;
      const path = join(directory, name);
      const stats = await lstat(path).catch(() => null);
      if (stats === null) continue; // gone meanwhile, as a server's own files may be
      judge(relative(top, path).split(sep).join("/"), stats, { owner: root.uid, isReachable }, wrong);
      if (stats.isDirectory()) waiting.push({ directory: path, isReachable: isReachable && isEnterable(stats) });
    }
  }
  return seen;
}

/** Whether others get at what is in a directory. */
function isEnterable({ mode }: Stats): boolean {
  return (mode & ENTERABLE_BY_OTHERS) !== 0;
}

interface Expected {
  readonly owner: number;
  /** Others can enter every directory on the way. */
  readonly isReachable: boolean;
}

function judge(name: string, stats: Stats, { owner, isReachable }: Expected, wrong: Wrong): void {
  if (stats.uid !== owner) wrong.owner.push(name);
  // A service's process may leave what it likes in its own home.
  const isOurs = !name.startsWith("homes/");
  if (isOurs && !stats.isFile() && !stats.isDirectory()) wrong.odd.push(name);
  if (stats.isSymbolicLink()) return; // a link's own permissions mean nothing
  if ((stats.mode & WRITABLE_BY_OTHERS) !== 0) wrong.writable.push(name);
  const isSecret = stats.isFile() && isOurs && secretPlaces.test(name) && isReachable;
  if (isSecret && (stats.mode & READABLE_BY_OTHERS) !== 0) wrong.readable.push(name);
  if (isOurs && leftover.test(name)) wrong.leftovers.push(name);
}

function reportWrong(findings: Findings, wrong: Wrong, seen: number): void {
  const { owner, writable, readable, odd, leftovers } = wrong;
  if (owner.length > 0) findings.problem("owner", `not the data directory's: ${listOf(owner)}`, OWNER_NEXT);
  if (writable.length > 0) {
    findings.problem("permissions", `other users can write ${listOf(writable)}`, "Run chmod go-w on them.");
  }
  if (readable.length > 0) {
    const next = "Run chmod go-rwx on them; if others may have read host.key, ask for a license for a new key.";
    findings.problem("permissions of secrets", `other users can read ${listOf(readable)}`, next);
  }
  if (odd.length > 0) {
    findings.problem(
      "kinds of files",
      `neither files nor directories: ${listOf(odd)}`,
      "Put the files themselves there.",
    );
  }
  if (leftovers.length > 0) {
    const next = "Delete them if no signet command is running.";
    findings.note("leftovers", `of interrupted writes: ${listOf(leftovers)}`, next);
  }
  if (seen > MAX_ENTRIES) {
    findings.note("number", `more than ${MAX_ENTRIES}; the rest was not looked at`, "Keep other files elsewhere.");
  }
  if (owner.length + writable.length + readable.length + odd.length === 0) {
    findings.ok(
      "permissions",
      `${Math.min(seen, MAX_ENTRIES)} files and directories, all their owner's alone to write`,
    );
  }
}

/** Names come from a directory that others may have written to: control characters must not reach a terminal. */
function listOf(names: readonly string[]): string {
  const shown = names.slice(0, MAX_NAMED).map((name) => name.replace(/[^\x20-\x7e]/g, "?").slice(0, 100));
  return shown.join(", ") + (names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : "");
}

async function reportWritable(findings: Findings, { data }: Examination): Promise<void> {
  const places = [data.ledgerDir, dirname(data.ledgerAnchorFile), dirname(data.runLogFile), data.homesDir];
  const refused: string[] = [];
  for (const place of places) {
    if (!(await canWrite(place))) refused.push(relative(data.root, place));
  }
  if (refused.length === 0) findings.ok("writing", "ledger, logs and homes can be written");
  else {
    const next = "Repair the permissions, or mount the file system writable.";
    findings.problem("writing", `cannot be written: ${refused.join(", ")}`, next);
  }
}

/** A directory that is not there yet can be made where the nearest one above it can be written. */
async function canWrite(directory: string): Promise<boolean> {
  try {
    await access(directory, constants.W_OK | constants.X_OK);
    return true;
  } catch (error) {
    const isAbsent = (error as NodeJS.ErrnoException).code === "ENOENT";
    return isAbsent && dirname(directory) !== directory && canWrite(dirname(directory));
  }
}

const MIB = 2 ** 20;
/** A ledger's segment and its copy, and a log to tell the story. */
const NEEDED_BYTES = 64 * MIB;
const COMFORTABLE_BYTES = 1024 * MIB;
const NEEDED_INODES = 100;

/** Room on the file system of the data directory. */
export async function examineDisk({ data }: Examination): Promise<Findings> {
  const findings = new Findings("disk");
  const place = await nearest(data.root);
  const facts = await statfs(place, { bigint: true });
  const freeBytes = Number(facts.bavail * facts.bsize);
  const free = `${Math.floor(freeBytes / MIB)} MiB free`;
  const next = "Make room: a server that cannot write its ledger refuses every call.";
  if (freeBytes < NEEDED_BYTES) findings.problem("space", free, next);
  else if (freeBytes < COMFORTABLE_BYTES) findings.note("space", free, next);
  else findings.ok("space", free);
  // Some file systems have no fixed number and say 0 of 0.
  if (facts.files > 0n && facts.ffree < BigInt(NEEDED_INODES)) {
    findings.problem("inodes", `${facts.ffree} left`, next);
  } else {
    findings.ok("inodes", facts.files > 0n ? `${facts.ffree} left` : "not limited here");
  }
  return findings;
}

async function nearest(directory: string): Promise<string> {
  const isThere = await access(directory).then(
    () => true,
    () => false,
  );
  if (isThere) return directory;
  if (dirname(directory) === directory) throw new SignetError("FILE_UNREADABLE", `${directory}: cannot be reached`);
  return nearest(dirname(directory));
}
