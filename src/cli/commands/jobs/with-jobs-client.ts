import type { JobsClient } from "../../../grpc/index.ts";
import { type ConnectionFlags, connectionFrom } from "../../connection.ts";

/** Calls the server that the flags name, and hangs up after that. @throws as JobsClient and `act` */
export async function withJobsClient<T>(flags: ConnectionFlags, act: (client: JobsClient) => Promise<T>): Promise<T> {
  const { JobsClient } = await import("../../../grpc/index.ts");
  const client = new JobsClient(await connectionFrom(flags));
  try {
    return await act(client);
  } finally {
    client.close();
  }
}
