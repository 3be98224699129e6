export { errorFromBind, verifyBindable } from "./bind.ts";
export { CertificateWatch } from "./certificate-watch.ts";
export { certificateOf, fingerprintOf } from "./client-certificate.ts";
export { isKeyOf } from "./key-pair.ts";
export { userOfPeer } from "./peer-user.ts";
export { type ListenerTls, openTls } from "./tls.ts";
