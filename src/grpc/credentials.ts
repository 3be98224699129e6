import { ServerCredentials } from "@grpc/grpc-js";
import type { ListenerTls } from "../listener/index.ts";

/** What grpc-js listens with; null for plaintext. */
export function createCredentials(tls: ListenerTls | null): ServerCredentials {
  return tls === null ? ServerCredentials.createInsecure() : new TlsCredentials(tls);
}

class TlsCredentials extends ServerCredentials {
  constructor(tls: ListenerTls) {
    super({ ...tls.demands }, tls.context);
    tls.onReload((context) => this.updateSecureContextOptions(context));
  }

  _equals(other: ServerCredentials): boolean {
    return this === other;
  }
}
