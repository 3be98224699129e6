import { join } from "node:path";
import { root } from "./host.ts";
import {
  aioServer,
  cppCallbackServer,
  cppServer,
  cppTlsServer,
  inlineServer,
  type LoadOnServer,
  native,
  signetServer,
  tritonServer,
} from "./servers.ts";

/** Every server that is measured, by the names that the tables have. */

const identity = { name: "identity", library: native("libsignet_identity.so"), limits: { runs: 1e9, concurrency: 2 } };
const models = join(root, "node_modules", "@gutenye", "ocr-models", "assets");
/** Says which way up a line of text is: a real model, and small, so that the servers are seen beside it. */
const classifierModel = join(models, "ch_ppocr_mobile_v2.0_cls_infer.onnx");

export const cpp = cppServer("C++");
export const cppCallback = cppCallbackServer("C++ callback API");
export const cppPlugin = cppServer("C++ with plugin", ["--plugin", identity.library]);
export const cppTls = cppTlsServer("C++, TLS");

export const inline = inlineServer("signet inline");
export const signet = signetServer("signet", { services: [identity], config: { sharedMemory: true } });
export const signetShared: LoadOnServer = {
  name: "signet, shared memory",
  of: signet,
  load: ["--shared-memory", "1"],
};
export const signetNode = signetServer("signet, node:http2", { services: [identity], config: { transport: "node" } });
export const signetTls = signetServer("signet, TLS", { services: [identity], tls: true });

export const aio = aioServer("grpc.aio");
export const triton = tritonServer("triton");

const RUN_COST_US = 200;
const batchedLoad = ["--model", "batched", "--shape", "1,64"];
export const cppSlow = cppServer(`C++, ${RUN_COST_US} us a run`, ["--spin-us", `${RUN_COST_US}`]);
/** A plugin whose runs cost the same for one item as for many, as on a GPU. */
export const signetBatched = signetServer("signet, batching", {
  services: [
    {
      name: "batched",
      library: native("libsignet_batched.so"),
      config: { costUs: RUN_COST_US, itemBytes: 64 },
      maxBatchSize: 32,
      limits: { runs: 1e9, concurrency: 2 },
    },
  ],
  config: { services: { batched: { maxQueue: 256 } } },
  load: batchedLoad,
});

/** What both servers of an ONNX model get. */
const classifierLoad = [
  "--model",
  "classifier",
  "--input",
  "x",
  "--datatype",
  "FP32",
  "--shape",
  "1,3,48,192",
  "--echo",
  "0",
];
const classifierService = {
  name: "classifier",
  library: native("libsignet_onnxruntime.so"),
  dependencies: [native("libonnxruntime.so.1")],
  models: [classifierModel],
  config: { intraOpThreads: 1 },
  limits: { runs: 1e9, concurrency: 2 },
};
export const classifierBytes = 3 * 48 * 192 * 4;
export const signetClassifier = signetServer("signet, ONNX", { services: [classifierService], load: classifierLoad });
export const tritonClassifier: LoadOnServer = {
  name: "triton, ONNX",
  of: tritonServer("triton with a model", [classifierModel]),
  load: classifierLoad,
};

/** Signet with a number of cheap services, which get requests by turns. */
export function signetWithServices(count: number) {
  const names = Array.from({ length: count }, (_, index) => `identity-${index + 1}`);
  const services = names.map((name) => ({ ...identity, name }));
  const name = `signet, ${count} service${count === 1 ? "" : "s"}`;
  return signetServer(name, { services, load: ["--model", names.join()] });
}
