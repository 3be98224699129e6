export { asn1FromDer, type CertificateInput, createCertificate, type KeyPair } from "./certificate.ts";
export { createClientPair, createTlsDirectory, renewServerPair, type WrittenPair } from "./tls-directory.ts";
