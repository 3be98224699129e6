import type { Area } from "../case.ts";
import {
  malformed,
  notFound,
  notLicensed,
  notOffered,
  regionExists,
  regionInvalid,
  regionUnknown,
  tracingOff,
  unloaded,
} from "../failures.ts";
import { floats, input } from "../tensors.ts";

/** An object in /dev/shm that the tests make: 64 bytes that begin with 1, 2 and 3 as FP32. */
export const SHARED_KEY = `/signet-conformance-${process.pid}`;
const region = { name: "lent", key: SHARED_KEY, offset: "0", byte_size: "64" };
const scalar = { model_name: "scalar", inputs: [input("FP32", [])], raw_input_contents: [floats(1)] };
const operator = "operator";

export const operatingArea: Area = {
  title: "Loading, settings, shared memory",
  cases: [
    {
      name: "the index has every licensed service",
      steps: [
        { call: "RepositoryIndex", request: {}, as: "viewer", answer: { models: [{ name: "BOOL", state: "READY" }] } },
      ],
    },
    {
      name: "a service that is unloaded takes no calls until it is loaded",
      steps: [
        { call: "RepositoryModelUnload", as: operator, request: { model_name: "scalar" }, answer: {} },
        { call: "ModelReady", request: { name: "scalar" }, answer: { ready: false } },
        { call: "ModelInfer", request: scalar, fails: unloaded },
        { call: "ServerReady", answer: { ready: true } },
        { call: "RepositoryModelLoad", as: operator, request: { model_name: "scalar" }, answer: {} },
        { call: "ModelInfer", request: scalar, answer: { raw_output_contents: [floats(1)] } },
      ],
    },
    {
      name: "a service that is not licensed is not loaded",
      steps: [{ call: "RepositoryModelLoad", as: operator, request: { model_name: "nothing" }, fails: notFound }],
    },
    {
      name: "uploaded files and another configuration are refused",
      steps: [
        {
          call: "RepositoryModelLoad",
          as: operator,
          request: { model_name: "scalar", parameters: { config: { string_param: "{}" } } },
          fails: notLicensed,
        },
        {
          call: "RepositoryModelLoad",
          as: operator,
          request: { model_name: "scalar", parameters: { "file:1/model.so": { bytes_param: "f0VMRg==" } } },
          fails: notLicensed,
        },
      ],
      notOver: ["Python gRPC", "Python HTTP"], // which send both only together, and look into them first
      deviation:
        "With explicit model control Triton loads what a client uploads, which is to run anybody's code; here only a license brings any.",
    },
    {
      name: "settings of the log are read, changed together, and refused together",
      steps: [
        {
          call: "LogSettings",
          as: operator,
          request: { settings: {} },
          answer: { settings: { log_info: { bool_param: true } } },
        },
        {
          call: "LogSettings",
          as: operator,
          request: { settings: { log_verbose_level: { uint32_param: 1 } } },
          answer: { settings: { log_verbose_level: { uint32_param: 1 } } },
        },
        {
          call: "LogSettings",
          as: operator,
          request: { settings: { log_verbose_level: { uint32_param: 0 } } },
          answer: { settings: { log_verbose_level: { uint32_param: 0 } } },
        },
        {
          call: "LogSettings",
          as: operator,
          request: { settings: { log_file: { string_param: "/tmp/x" } } },
          fails: notOffered,
        },
        {
          call: "LogSettings",
          as: operator,
          request: { settings: { log_nothing: { bool_param: true } } },
          fails: malformed,
        },
      ],
      deviation: "`log_file` is not a client's to say: the log goes to stderr.",
    },
    {
      name: "settings of traces are read and changed, of the server and of one service",
      steps: [
        {
          call: "TraceSetting",
          as: operator,
          request: { settings: { trace_rate: { value: ["5"] } }, model_name: "matrix" },
          answer: { settings: { trace_rate: { value: ["5"] }, trace_level: { value: ["OFF"] } } },
        },
        {
          call: "TraceSetting",
          as: operator,
          request: { settings: { trace_rate: { value: [] } }, model_name: "matrix" },
          answer: { settings: { trace_rate: { value: ["1000"] } } },
        },
        {
          call: "TraceSetting",
          as: operator,
          request: { settings: { trace_level: { value: ["TIMESTAMPS"] } } },
          fails: tracingOff,
        },
        {
          call: "TraceSetting",
          as: operator,
          request: { settings: {}, model_name: "nothing" },
          fails: notFound,
        },
      ],
      deviation: "Traces go to `traceDir` and have timestamps; Triton's `TENSORS` would write down what clients send.",
    },
    {
      name: "a tensor may lie in shared memory that the caller has registered",
      steps: [
        { call: "SystemSharedMemoryRegister", request: region, answer: {} },
        { call: "SystemSharedMemoryRegister", request: region, fails: regionExists },
        { call: "SystemSharedMemoryStatus", request: { name: "lent" }, answer: { regions: { lent: region } } },
        {
          call: "ModelInfer",
          request: {
            model_name: "matrix",
            inputs: [
              input("FP32", [1, 3], {
                parameters: {
                  shared_memory_region: { string_param: "lent" },
                  shared_memory_byte_size: { int64_param: 12 },
                },
              }),
            ],
          },
          answer: { raw_output_contents: [floats(1, 2, 3)] },
        },
        { call: "SystemSharedMemoryUnregister", request: { name: "lent" }, answer: {} },
        { call: "SystemSharedMemoryStatus", request: { name: "lent" }, fails: regionUnknown },
      ],
      deviation: "A region is its registrant's alone; in Triton every client sees and uses every region.",
    },
    {
      name: "shared memory that is not the caller's, or not there, is refused in the same words",
      steps: [
        {
          call: "SystemSharedMemoryRegister",
          request: { ...region, name: "other", key: "/signet-conformance-none" },
          fails: regionInvalid,
        },
      ],
    },
    {
      name: "memory of a GPU is not taken",
      steps: [
        { call: "CudaSharedMemoryStatus", request: {}, answer: {} },
        {
          call: "CudaSharedMemoryRegister",
          request: { name: "gpu", raw_handle: "", device_id: 0, byte_size: 64 },
          fails: notOffered,
        },
        { call: "CudaSharedMemoryUnregister", request: {}, answer: {} },
      ],
      deviation: "Triton maps a client's GPU memory; no part of the gateway talks to a GPU.",
    },
  ],
};
