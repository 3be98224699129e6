import { randomUUID } from "node:crypto";
import { SignetError } from "../../errors.ts";
import type { DeviceFacts, JobOwner, Needs, Placement, Shortage } from "../store.ts";
import type { Row, Sql } from "./database.ts";

/**
 * The verbs of the store about devices and who has reserved what of them. The tables refuse a device with less than
 * nothing free and a slot with two instances, whatever is written here.
 */

/** What stands for the processor and the memory of a host. */
const CPU = "cpu";

export async function registerHost(sql: Sql, owner: JobOwner, devices: readonly DeviceFacts[]): Promise<void> {
  await sql.lock([`host ${owner.host}`]);
  const [known] = await sql.rows("select life from host where host = $1", [owner.host]);
  if (known !== undefined && known.life !== owner.life) {
    await sql.rows("delete from instance where host = $1", [owner.host]);
    await sql.rows("delete from device where host = $1", [owner.host]);
  }
  await sql.rows(
    "insert into host (host, life) values ($1, $2) on conflict (host) do update set life = excluded.life",
    [owner.host, owner.life],
  );
  for (const { device, memoryBytes, cores } of devices) {
    await sql.rows(
      `insert into device (host, device, memory_bytes, millicores, free_memory_bytes, free_millicores)
       values ($1, $2, $3, $4, $3, $4) on conflict (host, device) do nothing`,
      [owner.host, device, memoryBytes, millicoresOf(cores)],
    );
  }
}

export async function freeDevices(sql: Sql, host: string): Promise<readonly DeviceFacts[]> {
  const rows = await sql.rows(
    "select device, free_memory_bytes, free_millicores from device where host = $1 order by device",
    [host],
  );
  return rows.map((row) => ({
    device: row.device as string,
    memoryBytes: row.free_memory_bytes as number,
    cores: (row.free_millicores as number) / 1000,
  }));
}

export async function reserveInstance(
  sql: Sql,
  owner: JobOwner,
  service: string,
  slot: number,
  needs: Needs,
  gpus: readonly string[],
): Promise<Placement | { readonly shortages: readonly Shortage[] }> {
  await sql.lock([`host ${owner.host}`, `slot ${slot} of ${service}`]);
  await verifyLife(sql, owner);
  const [taken] = await sql.rows("select host from instance where service = $1 and slot = $2", [service, slot]);
  if (taken !== undefined) {
    throw new SignetError("INSTANCE_EXISTS", `slot ${slot} of ${service} has an instance on host ${taken.host}`);
  }
  const devices = new Map(
    (await sql.rows("select * from device where host = $1", [owner.host])).map((d) => [d.device, d]),
  );
  const shortages = await hostShortages(sql, devices.get(CPU), owner.host, needs);
  const hasRoom = (gpu: string) =>
    ((devices.get(gpu)?.free_memory_bytes as number | undefined) ?? -1) >= needs.gpuMemoryBytes;
  const chosen = gpus.filter(hasRoom).slice(0, needs.gpus);
  if (chosen.length < needs.gpus) shortages.push(...(await gpuShortages(sql, devices, owner.host, needs, gpus)));
  if (shortages.length > 0) return { shortages };

  const instance = { id: randomUUID(), fence: await nextFence(sql, service, slot) };
  await sql.rows("insert into instance (id, host, service, slot, fence) values ($1, $2, $3, $4, $5)", [
    ...[instance.id, owner.host, service, slot, instance.fence],
  ]);
  const millicores = millicoresOf(needs.cores);
  if (devices.has(CPU)) await take(sql, instance.id, owner.host, CPU, needs.memoryBytes, millicores);
  for (const gpu of chosen) await take(sql, instance.id, owner.host, gpu, needs.gpuMemoryBytes, 0);
  return { instance: instance.id, fence: instance.fence, gpus: chosen };
}

export async function releaseInstance(sql: Sql, instance: string, fence: number): Promise<boolean> {
  const [found] = await sql.rows("select host from instance where id = $1 and fence = $2", [instance, fence]);
  if (found === undefined) return false;
  await sql.lock([`host ${found.host}`]);
  await sql.rows(
    `update device set
       free_memory_bytes = free_memory_bytes + (select memory_bytes from reservation
         where instance = $1 and reservation.device = device.device),
       free_millicores = free_millicores + (select millicores from reservation
         where instance = $1 and reservation.device = device.device)
     where host = $2 and device in (select device from reservation where instance = $1)`,
    [instance, found.host!],
  );
  const gone = await sql.rows("delete from instance where id = $1 returning id", [instance]);
  return gone.length > 0;
}

/** An earlier life of a host, which does not know yet that it ended, must not take what its successor counts. */
async function verifyLife(sql: Sql, { host, life }: JobOwner): Promise<void> {
  const [registered] = await sql.rows("select life from host where host = $1", [host]);
  if (registered?.life === life) return;
  throw new SignetError("INTERNAL", `host ${host}: expected to be registered with this life, found another or none`);
}

async function nextFence(sql: Sql, service: string, slot: number): Promise<number> {
  const [row] = await sql.rows(
    `insert into slot_fence (service, slot, fence) values ($1, $2, 1)
     on conflict (service, slot) do update set fence = slot_fence.fence + 1 returning fence`,
    [service, slot],
  );
  return row!.fence as number;
}

async function take(sql: Sql, instance: string, host: string, device: string, memoryBytes: number, millicores: number) {
  await sql.rows(
    `update device set free_memory_bytes = free_memory_bytes - $3, free_millicores = free_millicores - $4
     where host = $1 and device = $2`,
    [host, device, memoryBytes, millicores],
  );
  await sql.rows(
    "insert into reservation (instance, host, device, memory_bytes, millicores) values ($1, $2, $3, $4, $5)",
    [instance, host, device, memoryBytes, millicores],
  );
}

async function hostShortages(sql: Sql, cpu: Row | undefined, host: string, needs: Needs): Promise<Shortage[]> {
  const shortages: Shortage[] = [];
  const freeBytes = (cpu?.free_memory_bytes as number | undefined) ?? 0;
  const freeMillicores = (cpu?.free_millicores as number | undefined) ?? 0;
  if (freeMillicores < millicoresOf(needs.cores)) {
    const heldBy = (await holdersOf(sql, host, CPU, "millicores")).map((one) => ({
      ...one,
      amount: one.amount / 1000,
    }));
    shortages.push({ device: CPU, resource: "cores", needed: needs.cores, free: freeMillicores / 1000, heldBy });
  }
  if (freeBytes < needs.memoryBytes) {
    const heldBy = await holdersOf(sql, host, CPU, "memory_bytes");
    shortages.push({ device: CPU, resource: "memory", needed: needs.memoryBytes, free: freeBytes, heldBy });
  }
  return shortages;
}

/** Each GPU without room, or that there are not as many at all. */
async function gpuShortages(
  sql: Sql,
  devices: ReadonlyMap<unknown, Row>,
  host: string,
  needs: Needs,
  gpus: readonly string[],
): Promise<readonly Shortage[]> {
  const there = gpus.filter((gpu) => devices.has(gpu));
  if (there.length < needs.gpus) {
    return [{ device: "gpu", resource: "devices", needed: needs.gpus, free: there.length, heldBy: [] }];
  }
  const shortages: Shortage[] = [];
  for (const gpu of there) {
    const free = devices.get(gpu)!.free_memory_bytes as number;
    if (free >= needs.gpuMemoryBytes) continue;
    const heldBy = await holdersOf(sql, host, gpu, "memory_bytes");
    shortages.push({ device: gpu, resource: "memory", needed: needs.gpuMemoryBytes, free, heldBy });
  }
  return shortages;
}

async function holdersOf(sql: Sql, host: string, device: string, column: "memory_bytes" | "millicores") {
  const rows = await sql.rows(
    `select service, cast(sum(reservation.${column}) as bigint) as amount
     from reservation join instance on instance.id = reservation.instance
     where reservation.host = $1 and reservation.device = $2 and reservation.${column} > 0
     group by service order by amount desc, service`,
    [host, device],
  );
  return rows.map(({ service, amount }) => ({ service: service as string, amount: amount as number }));
}

function millicoresOf(cores: number): number {
  return Math.round(cores * 1000);
}
