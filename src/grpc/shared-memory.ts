import { SignetError } from "../errors.ts";
import { userOfPeer } from "../listener/index.ts";
import type { SharedMemory } from "../service/index.ts";
import type { answering } from "./call.ts";
import { identityOf } from "./call-gate.ts";
import type { InferenceHandlers } from "./messages.ts";

type SharedMemoryHandlers = Pick<
  InferenceHandlers,
  | `SystemSharedMemory${"Status" | "Register" | "Unregister"}`
  | `CudaSharedMemory${"Status" | "Register" | "Unregister"}`
>;

/** The calls about shared memory. Memory of a GPU is never taken: no part of the gateway talks to one. */
export function sharedMemoryHandlers(
  sharedMemory: SharedMemory,
  answer: ReturnType<typeof answering>,
): SharedMemoryHandlers {
  return {
    SystemSharedMemoryStatus: answer(async (call) => {
      const regions = sharedMemory.status(identityOf(call), call.request.name);
      return {
        regions: Object.fromEntries(
          regions.map(({ name, key, offset, byteSize }) => [name, { name, key, offset, byte_size: byteSize }]),
        ),
      };
    }),
    SystemSharedMemoryRegister: answer(async (call) => {
      const { name, key, offset, byte_size } = call.request;
      const description = { name, key, offset: Number(offset), byteSize: Number(byte_size) };
      sharedMemory.register(identityOf(call), userOfPeer(call.getPeer()), description);
      return {};
    }),
    SystemSharedMemoryUnregister: answer(async (call) => {
      sharedMemory.unregister(identityOf(call), call.request.name);
      return {};
    }),
    CudaSharedMemoryStatus: answer(async (call) => {
      identityOf(call).require("share");
      return { regions: {} };
    }),
    CudaSharedMemoryRegister: answer(async (call) => {
      identityOf(call).require("share");
      throw new SignetError(
        "NOT_IMPLEMENTED",
        "expected tensors in messages, found memory of a GPU, which is not taken",
      );
    }),
    CudaSharedMemoryUnregister: answer(async (call) => {
      identityOf(call).require("share");
      return {};
    }),
  };
}
