export { asn1FromDer, draftCertificate } from "./certificate.ts";
export { createClientPair, createTlsDirectory, renewServerPair, type WrittenPair } from "./tls-directory.ts";
