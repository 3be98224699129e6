import { parentPort } from "node:worker_threads";
import si from "systeminformation";
import type { Collected } from "./machine-systeminformation.ts";

// Only these: versions(), getStaticData() and others run whatever programs they find by name.
const [system, board, cpu, disks, networks] = await Promise.all([
  si.system(),
  si.baseboard(),
  si.cpu(),
  si.diskLayout(),
  si.networkInterfaces(),
]);

const collected: Collected = {
  systemUuid: String(system.uuid ?? ""),
  boardSerial: String(board.serial ?? ""),
  cpu: [cpu.vendor, cpu.family, cpu.model, cpu.stepping].map(String).join(" "),
  diskSerials: disks.map((disk) => String(disk.serialNum ?? "")),
  macAddresses: [networks].flat().map((network) => String(network.mac ?? "")),
  isVirtual: system.virtual === true,
};
parentPort?.postMessage(collected);
