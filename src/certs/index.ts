export { asn1FromDer, draftCertificate, type KeyPair } from "./certificate.ts";
export { createClientPair, createTlsDirectory, renewServerPair, type WrittenPair } from "./tls-directory.ts";
