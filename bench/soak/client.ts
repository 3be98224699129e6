import { Callers } from "./callers.ts";
import type { FromClient, ToClient } from "./protocol.ts";

/** A client process of the soak: it does what it is told through its channel, and ends when that does. */

const tell = (message: FromClient) => process.send!(message);
let callers: Callers | undefined;

process.on("message", (message: ToClient) => {
  if (message.type === "setup") callers = new Callers(message, tell);
  else if (message.type === "work") callers!.work(message.target);
  else void callers!.rest().then((firstLostMs) => tell({ type: "rested", firstLostMs }));
});
process.on("disconnect", () => process.exit(0));
