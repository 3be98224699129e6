import type { Dialect } from "./database.ts";

/** When a job without a deadline is due: the largest number that JavaScript counts to. Part of an index's condition. */
export const NEVER_MS = Number.MAX_SAFE_INTEGER;

/** Migration 1. What must never be so is refused by the tables, whatever the verbs do. */
export function firstTables({ integer, real, text, bytes, table }: Dialect): readonly string[] {
  return [
    `create table job (
      id ${text} primary key,
      identity ${text} not null,
      client ${text} not null,
      peer ${text} not null,
      service ${text} not null,
      version ${text} not null,
      priority ${integer} not null,
      due_ms ${integer} not null,
      labels ${text} not null,
      idempotency_key ${text},
      request_digest ${text} not null,
      max_attempts ${integer} not null check (max_attempts >= 1),
      state ${text} not null check (state in ('queued', 'running', 'succeeded', 'failed', 'cancelled')),
      cancel_requested ${integer} not null default 0 check (cancel_requested in (0, 1)),
      attempts ${integer} not null default 0 check (attempts between 0 and max_attempts),
      fence ${integer} not null default 0,
      owner_host ${text},
      owner_life ${text},
      lease_until_ms ${integer},
      device ${text},
      submitted_ms ${integer} not null,
      started_ms ${integer},
      ended_ms ${integer},
      progress_permille ${integer} not null default 0,
      stage ${integer} not null default 0,
      failure_code ${text},
      failure_message ${text},
      run_ms ${real},
      seq ${integer} not null default 1,
      bytes ${integer} not null,
      check ((state = 'running') = (lease_until_ms is not null)),
      check ((state in ('succeeded', 'failed', 'cancelled')) = (ended_ms is not null))
    ) ${table(true)}`,
    "create unique index job_key on job (identity, idempotency_key) where idempotency_key is not null",
    // What claim takes next of a line; due_ms is never null, because the databases disagree on where null sorts.
    "create index job_waiting on job (service, priority, identity, due_ms, submitted_ms, id) where state = 'queued'",
    `create index job_due on job (due_ms) where state = 'queued' and due_ms < ${NEVER_MS}`,
    // Without the lease, so that renewing one changes no index.
    "create index job_running on job (service, id) where state = 'running'",
    "create index job_ended on job (ended_ms, id, bytes) where ended_ms is not null",
    // For pages, newest first.
    "create index job_by_state on job (state, id)",
    "create index job_by_identity on job (identity, state, id)",
    "create index job_by_service on job (service, state, id)",
    // Payloads lie apart from the rows that change often: both databases write a changed row as a whole.
    ...["job_input", "job_output"].map(
      (name) => `create table ${name} (
        job_id ${text} primary key references job (id) on delete cascade,
        inline ${bytes},
        sha256 ${text},
        bytes ${integer} not null,
        check ((inline is null) <> (sha256 is null))
      ) ${table(false)}`,
    ),
    `create table job_label (
      name ${text} not null,
      value ${text} not null,
      job_id ${text} not null references job (id) on delete cascade,
      primary key (name, value, job_id)
    ) ${table(true)}`,
    "create index job_label_job on job_label (job_id)",
    `create table job_artifact (
      sha256 ${text} not null,
      job_id ${text} not null references job (id) on delete cascade,
      primary key (sha256, job_id)
    ) ${table(true)}`,
    "create index job_artifact_job on job_artifact (job_id)",
    `create table job_event (
      job_id ${text} not null references job (id) on delete cascade,
      seq ${integer} not null,
      time_ms ${integer} not null,
      type ${text} not null,
      state ${text} not null,
      attempt ${integer} not null,
      failure_code ${text},
      failure_message ${text},
      primary key (job_id, seq)
    ) ${table(true)}`,
    // One row for each run, and how many there ever were, for rows go with their job.
    `create table charge (
      job_id ${text} not null references job (id) on delete cascade,
      attempt ${integer} not null,
      service ${text} not null,
      charged_ms ${integer} not null,
      primary key (job_id, attempt)
    ) ${table(true)}`,
    `create table service_charge (
      service ${text} primary key,
      runs ${integer} not null check (runs >= 0)
    ) ${table(true)}`,
    // Whose turn it is (lines.ts).
    `create table line (
      service ${text} not null,
      priority ${integer} not null,
      identity ${text} not null,
      turn ${integer} not null,
      waiting ${integer} not null check (waiting >= 0),
      primary key (service, priority, identity)
    ) ${table(true)}`,
    "create index line_turn on line (service, priority, turn, identity) where waiting > 0",
    "create index line_identity on line (identity) where waiting > 0",
    `create table queue (
      service ${text} not null,
      priority ${integer} not null,
      virtual_time ${integer} not null,
      primary key (service, priority)
    ) ${table(true)}`,
    ...placementTables({ integer, text, table }),
  ];
}

function placementTables({ integer, text, table }: Pick<Dialect, "integer" | "text" | "table">): readonly string[] {
  return [
    `create table host (
      host ${text} primary key,
      life ${text} not null
    ) ${table(true)}`,
    // Cores are counted in thousandths, so that they add up.
    `create table device (
      host ${text} not null references host (host) on delete cascade,
      device ${text} not null,
      memory_bytes ${integer} not null,
      millicores ${integer} not null,
      free_memory_bytes ${integer} not null check (free_memory_bytes between 0 and memory_bytes),
      free_millicores ${integer} not null check (free_millicores between 0 and millicores),
      primary key (host, device)
    ) ${table(true)}`,
    `create table instance (
      id ${text} primary key,
      host ${text} not null references host (host) on delete cascade,
      service ${text} not null,
      slot ${integer} not null,
      fence ${integer} not null,
      unique (service, slot)
    ) ${table(true)}`,
    `create table reservation (
      instance ${text} not null references instance (id) on delete cascade,
      host ${text} not null,
      device ${text} not null,
      memory_bytes ${integer} not null check (memory_bytes >= 0),
      millicores ${integer} not null check (millicores >= 0),
      primary key (instance, device),
      foreign key (host, device) references device (host, device)
    ) ${table(true)}`,
    "create index reservation_device on reservation (host, device)",
    `create table slot_fence (
      service ${text} not null,
      slot ${integer} not null,
      fence ${integer} not null,
      primary key (service, slot)
    ) ${table(true)}`,
  ];
}
