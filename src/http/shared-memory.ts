import { z } from "zod";
import { SignetError } from "../errors.ts";
import { userOfPeer } from "../listener/index.ts";
import type { SharedMemory } from "../service/index.ts";
import { type Call, MAX_SMALL_BODY_BYTES, type Route } from "./call.ts";

const regionSchema = z.object({ key: z.string(), offset: z.int().default(0), byte_size: z.int() });

/** The calls about shared memory. Memory of a GPU is never taken: no part of the gateway talks to one. */
export function sharedMemoryRoutes(sharedMemory: SharedMemory): Route[] {
  const system = "/v2/systemsharedmemory";
  const cuda = "/v2/cudasharedmemory";
  const register = { method: "POST", maxBodyBytes: MAX_SMALL_BODY_BYTES } as const;
  const ofAllAndOne = (base: string, action: string, route: Omit<Route, "path">): Route[] => [
    { ...route, path: `${base}/${action}` },
    { ...route, path: `${base}/region/{region}/${action}` },
  ];
  const none = (value: unknown) => async (call: Call) => {
    call.identity.require("share");
    return value;
  };
  return [
    ...ofAllAndOne(system, "status", {
      method: "GET",
      summary: "Which regions of shared memory the caller has registered.",
      answer: async (call) =>
        sharedMemory
          .status(call.identity, call.part("region"))
          .map(({ name, key, offset, byteSize }) => ({ name, key, offset, byte_size: byteSize })),
    }),
    {
      ...register,
      path: `${system}/region/{region}/register`,
      body: regionSchema,
      summary: "Lends the server a region of shared memory.",
      answer: async (call) => {
        call.identity.require("share");
        const { key, offset, byte_size: byteSize } = await call.json(regionSchema);
        const description = { name: call.part("region"), key, offset, byteSize };
        sharedMemory.register(call.identity, userOfPeer(call.peerSocket), description);
        return {};
      },
    },
    ...ofAllAndOne(system, "unregister", {
      method: "POST",
      summary: "Takes shared memory back.",
      answer: async (call) => {
        sharedMemory.unregister(call.identity, call.part("region"));
        return {};
      },
    }),
    ...ofAllAndOne(cuda, "status", {
      method: "GET",
      summary: "None: memory of a GPU is not taken.",
      answer: none([]),
    }),
    {
      method: "POST",
      path: `${cuda}/region/{region}/register`,
      summary: "Refused: memory of a GPU is not taken.",
      answer: async ({ identity }) => {
        identity.require("share");
        const words = "expected tensors in messages, found memory of a GPU, which is not taken";
        throw new SignetError("NOT_IMPLEMENTED", words);
      },
    },
    ...ofAllAndOne(cuda, "unregister", {
      method: "POST",
      summary: "Nothing to do: memory of a GPU is not taken.",
      answer: none({}),
    }),
  ];
}
