import type { Row, Sql } from "./database.ts";

/**
 * Whose turn it is. Waiting jobs of one service, priority and identity are a line, and lines take turns by start-time
 * fair queueing: each claim moves a line's turn on by one, the line with the smallest turn is next, and one that had
 * nothing waiting begins where the others are now, which is the queue's virtual time: the turn of the last claim. So
 * nobody waits for more than one turn of each of the others, however long their lines are, and nobody saves turns up.
 */
export interface Line {
  readonly service: string;
  readonly priority: number;
  readonly identity: string;
}

export interface WaitingLine extends Line {
  readonly turn: number;
  readonly waiting: number;
}

/** Jobs come to the lines. */
export async function addWaiting(sql: Sql, jobs: readonly Row[]): Promise<void> {
  for (const { line, count } of countByLine(jobs)) {
    await sql.rows(
      `insert into line (service, priority, identity, turn, waiting)
       values ($1, $2, $3, coalesce((select virtual_time from queue where service = $1 and priority = $2), 0), $4)
       on conflict (service, priority, identity) do update set
         waiting = line.waiting + excluded.waiting,
         turn = case when line.waiting = 0 and line.turn < excluded.turn then excluded.turn else line.turn end`,
      [line.service, line.priority, line.identity, count],
    );
  }
}

/** Jobs leave the lines without having been claimed. */
export async function removeWaiting(sql: Sql, jobs: readonly Row[]): Promise<void> {
  for (const { line, count } of countByLine(jobs)) {
    await sql.rows("update line set waiting = waiting - $4 where service = $1 and priority = $2 and identity = $3", [
      line.service,
      line.priority,
      line.identity,
      count,
    ]);
  }
}

/** A claimed job comes back to its line, with the turn that the claim took. */
export async function returnTurn(sql: Sql, job: Row): Promise<void> {
  await addWaiting(sql, [job]);
  await sql.rows(
    `update line set turn = turn - 1
     where service = $1 and priority = $2 and identity = $3
       and turn > (select virtual_time from queue where service = $1 and priority = $2)`,
    [job.service!, job.priority!, job.identity!],
  );
}

/**
 * The lines of a service that are next, at most so many; not those where all that waits is too late. The database looks
 * at one end of an index for that; out of an `exists` or a `max` it would make a walk through all that waits.
 */
export async function nextLines(sql: Sql, service: string, most: number, nowMs: number): Promise<WaitingLine[]> {
  const rows = await sql.rows(
    `select service, priority, identity, turn, waiting from line ${sql.dialect.by("line_turn")}
     where service = $1 and waiting > 0 and $3 < (
       select job.due_ms from job ${sql.dialect.by("job_waiting")}
       where job.state = 'queued' and job.service = line.service and job.priority = line.priority
         and job.identity = line.identity
       order by job.due_ms desc, job.submitted_ms desc, job.id desc limit 1)
     order by priority, turn, identity limit $2 ${sql.dialect.forUpdate}`,
    [service, most, nowMs],
  );
  return rows.map((row) => ({ ...(row as unknown as WaitingLine) }));
}

/** `count` jobs of a line were claimed. */
export async function takeTurns(sql: Sql, { service, priority, identity, turn }: WaitingLine, count: number) {
  await sql.rows(
    `update line set turn = $4, waiting = waiting - $5 where service = $1 and priority = $2 and identity = $3`,
    [service, priority, identity, turn + count, count],
  );
  const lastTurn = turn + count - 1;
  await sql.rows(
    `insert into queue (service, priority, virtual_time) values ($1, $2, $3)
     on conflict (service, priority) do update set virtual_time = excluded.virtual_time
     where excluded.virtual_time > queue.virtual_time`,
    [service, priority, lastTurn],
  );
}

/** Forgets lines that would begin at the virtual time anyway. */
export async function forgetEmptyLines(sql: Sql): Promise<void> {
  await sql.rows(
    `delete from line where waiting = 0 and turn <= (
       select virtual_time from queue where queue.service = line.service and queue.priority = line.priority)`,
  );
}

function countByLine(jobs: readonly Row[]): { readonly line: Line; readonly count: number }[] {
  const counts = new Map<string, { line: Line; count: number }>();
  for (const job of jobs) {
    const line = { service: job.service, priority: job.priority, identity: job.identity } as unknown as Line;
    const key = JSON.stringify([line.service, line.priority, line.identity]);
    const counted = counts.get(key);
    if (counted === undefined) counts.set(key, { line, count: 1 });
    else counted.count++;
  }
  // In one order, so that two verbs never wait for each other's rows.
  return [...counts.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, counted]) => counted);
}
