import type { ServerWritableStream } from "@grpc/grpc-js";

/** Sends what comes, as fast as the client takes it, until it is over or the client is gone. */
export async function pour<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  refused: (call: ServerWritableStream<Request, Response>, thrown: unknown) => unknown,
  responses: () => AsyncIterable<Response>,
): Promise<void> {
  try {
    for await (const response of responses()) {
      if (call.cancelled) return;
      if (!call.write(response)) await drained(call);
    }
    call.end();
  } catch (thrown) {
    // grpc-js sends what is emitted as an error as the call's status.
    if (!call.cancelled) call.emit("error", refused(call, thrown));
  }
}

function drained(call: ServerWritableStream<unknown, unknown>): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      call.off("drain", done);
      call.off("cancelled", done);
      resolve();
    };
    call.on("drain", done);
    call.on("cancelled", done);
    if (call.cancelled) done();
  });
}
