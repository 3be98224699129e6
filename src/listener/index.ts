export { errorFromBind, verifyBindable } from "./bind.ts";
export { CertificateWatch } from "./certificate-watch.ts";
export { certificateOf, fingerprintOf } from "./client-certificate.ts";
export { ConnectionCounts } from "./connection-counts.ts";
export { createHttpListener, listenAt } from "./http-listener.ts";
export { isKeyOf } from "./key-pair.ts";
export { userOfPeer } from "./peer-user.ts";
export { type ListenerTls, openTls } from "./tls.ts";
