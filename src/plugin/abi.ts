import koffi from "koffi";
// Sets koffi's stack sizes, which must happen before the first library is loaded.
import "./libc.ts";

/**
 * The mirror of native/include/signet/plugin.h: same names, same order, nothing clever. A test compiles a
 * C program that prints the compiler's sizes and offsets and compares them with these.
 */

export const SIGNET_ABI_VERSION = 1;
export const PLUGIN_SYMBOL = "signet_plugin_v1";

export const DEVICE_CPU = 0;
export const DEVICE_CUDA = 1;

/** Status codes of plugin functions; the numbers are gRPC's canonical ones. */
export const SIGNET_OK = 0;
export const SIGNET_CANCELLED = 1;
export const SIGNET_OUT_OF_RANGE = 11;

export const signetTensor = koffi.struct("signet_tensor", {
  dtype: "uint32_t",
  rank: "uint32_t",
  shape: koffi.array("int64_t", 8),
  data: "void *",
  nbytes: "uint64_t",
  name: "const char *",
  owner: "void *",
});

export const signetFile = koffi.struct("signet_file", {
  name: "const char *",
  data: "const void *",
  nbytes: "uint64_t",
});

export const signetControl = koffi.struct("signet_control", {
  cancel: "uint32_t",
  progress_permille: "uint32_t",
  stage: "uint32_t",
  heartbeat: "uint32_t",
  deadline_ns: "uint64_t",
  reserved: koffi.array("uint64_t", 5),
});

export const signetCreateArgs = koffi.struct("signet_create_args", {
  struct_size: "uint32_t",
  device_type: "uint32_t",
  device_index: "int32_t",
  file_count: "uint32_t",
  config_json: "const char *",
  files: "const void *",
});

// Buffers cross as untyped pointers: a packed block of bytes is 20 to 70 times cheaper than a JS object.
export const describeProto = koffi.proto(
  "int32_t signet_describe(void *instance, void *json, uint64_t capacity, void *length, void *error, uint64_t error_capacity)",
);
export const createProto = koffi.proto(
  "int32_t signet_create(const void *args, void *instance, void *error, uint64_t error_capacity)",
);
export const runProto = koffi.proto(
  "int32_t signet_run(void *instance, const void *inputs, uint32_t input_count, void *outputs, uint32_t output_count, void *control, void *error, uint64_t error_capacity)",
);
export const releaseProto = koffi.proto("void signet_release(void *instance, void *owner)");
export const destroyProto = koffi.proto("void signet_destroy(void *instance)");
export const warmupProto = koffi.proto(
  "int32_t signet_warmup(void *instance, void *control, void *error, uint64_t error_capacity)",
);

export const signetPlugin = koffi.struct("signet_plugin", {
  abi_version: "uint32_t",
  struct_size: "uint32_t",
  describe: koffi.pointer(describeProto),
  create: koffi.pointer(createProto),
  run: koffi.pointer(runProto),
  release: koffi.pointer(releaseProto),
  destroy: koffi.pointer(destroyProto),
  warmup: koffi.pointer(warmupProto),
});

export const TENSOR_BYTES = 104;
export const FILE_BYTES = 24;
export const CONTROL_BYTES = 64;
export const CREATE_ARGS_BYTES = 32;
export const PLUGIN_BYTES = 56;

/** Byte offsets in signet_tensor. */
export const tensorOffsets = { dtype: 0, rank: 4, shape: 8, data: 72, nbytes: 80, name: 88, owner: 96 } as const;

/** Byte offsets in signet_control. */
export const controlOffsets = { cancel: 0, progressPermille: 4, stage: 8, heartbeat: 12, deadlineNs: 16 } as const;
