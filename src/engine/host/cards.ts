import { CardReader, dieWithParent, exitNow } from "../../plugin/index.ts";
import { openParentChannel } from "../channel.ts";
import { CHANNEL_FD } from "../protocol.ts";

// Asks the driver's library that is named as argument, as often as the gateway asks this process.

dieWithParent(CHANNEL_FD);
// Threads and exit handlers of the driver are none of our concern.
const end = () => exitNow(0);
let reader: CardReader | undefined;

const channel = openParentChannel({
  onMessage: () => {
    reader ??= new CardReader(process.argv[2]!);
    const isUsable = reader.isUsable;
    channel.send(reader.read(), () => {
      if (!isUsable) end();
    });
  },
  onBroken: end,
  onEnd: end,
});
