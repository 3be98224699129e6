/*
 * The Signet plugin ABI, version 1. This header is all a plugin needs; include <signet/plugin.hpp> for C++.
 *
 * Life cycle. A plugin is one shared library that exports one symbol, signet_plugin_v1(), which returns a table
 * of functions. The host calls describe(NULL) to learn what the plugin is, create() to make an instance from a
 * configuration and model files, describe(instance) to learn the tensors of that model, perhaps warmup(), then
 * run() for every job, and destroy() at the end. All of it happens in a process of the service's own: the library
 * is loaded from a sealed copy in memory, so it has no path, cannot find files beside itself, and receives its
 * models as bytes. A library is never unloaded.
 *
 * Threads. create(), describe(instance), warmup() and destroy() are never called at the same time as any other
 * call on the same instance. run() is called from several threads at once when describe(NULL) says
 * "threading":"concurrent", and by one at a time, not always the same one, when it says "single". Calls on
 * different instances may overlap. The stack is 8 MiB. A plugin may start threads of its own; they must be gone
 * when destroy() returns.
 *
 * Ownership. Whoever allocated memory frees it. Everything passed in is the host's and, except for model files,
 * only valid until the call returns. A plugin gives memory of its own to the host only as an output with a
 * non-null `owner`, which the host hands back to release() once it has copied the bytes.
 *
 * Errors. Functions return SIGNET_OK or another SIGNET_* status and write one sentence of UTF-8, NUL-terminated,
 * at most error_capacity bytes with the NUL, saying what was expected and what was found. No exception may leave
 * a function. A plugin never calls exit(), abort(), fork() or setenv(), installs no signal handlers and changes
 * no limits: a host that loses its process restarts it, but the jobs in it fail.
 *
 * Versioning. Structs never change and only grow at the end; growth is marked "since". abi_version changes only
 * if that promise has to be broken, and then the exported symbol has another name. Each side reads no further
 * than the smaller of the struct_size it was given and the one it was built with. Platform: 64-bit Linux (LP64),
 * little-endian; every struct has the same layout in C, C++ and any foreign function interface.
 */
#ifndef SIGNET_PLUGIN_H
#define SIGNET_PLUGIN_H

#include <stdint.h>

#ifdef __cplusplus
#define SIGNET_NOEXCEPT noexcept
#define SIGNET_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define SIGNET_NOEXCEPT
#define SIGNET_EXPORT __attribute__((visibility("default")))
#endif

#define SIGNET_ABI_VERSION 1
#define SIGNET_MAX_RANK 8

/* Status codes: gRPC's canonical numbers. */
#define SIGNET_OK 0
#define SIGNET_CANCELLED 1           /* control->cancel was seen */
#define SIGNET_UNKNOWN 2
#define SIGNET_INVALID_ARGUMENT 3    /* the input, the configuration or the model is wrong */
#define SIGNET_DEADLINE_EXCEEDED 4   /* control->deadline_ns has passed */
#define SIGNET_NOT_FOUND 5
#define SIGNET_RESOURCE_EXHAUSTED 8  /* out of memory, of a device or of the host */
#define SIGNET_FAILED_PRECONDITION 9 /* for example: no such device here */
#define SIGNET_OUT_OF_RANGE 11       /* describe(): the buffer is too small */
#define SIGNET_UNIMPLEMENTED 12
#define SIGNET_INTERNAL 13
#define SIGNET_UNAVAILABLE 14

/* Element types: ONNX's TensorProto.DataType numbers. */
#define SIGNET_FP32 1
#define SIGNET_UINT8 2
#define SIGNET_INT8 3
#define SIGNET_UINT16 4
#define SIGNET_INT16 5
#define SIGNET_INT32 6
#define SIGNET_INT64 7
#define SIGNET_BYTES 8 /* each element: its length as uint32, little-endian, then that many bytes */
#define SIGNET_BOOL 9  /* one byte, 0 or 1 */
#define SIGNET_FP16 10
#define SIGNET_FP64 11
#define SIGNET_UINT32 12
#define SIGNET_UINT64 13
#define SIGNET_BF16 16

/*
 * A key of config_json that no vendor's own configuration uses: an object of what the license grants beside the
 * service itself, each true, false, a whole number or a string, as {"maxPixels": 4000000, "export": true}. It comes
 * from the encrypted license.conf, so nobody on the host can add to it. The key is absent when nothing is granted.
 */
#define SIGNET_ENTITLEMENTS_KEY "entitlements"

#define SIGNET_DEVICE_CPU 0
#define SIGNET_DEVICE_CUDA 1

#ifdef __cplusplus
extern "C" {
#endif

/* One input or output. Row-major, densely packed. 104 bytes. */
typedef struct signet_tensor {
  uint32_t dtype;                 /* SIGNET_FP32 ... */
  uint32_t rank;                  /* 0 (a scalar) to SIGNET_MAX_RANK */
  int64_t shape[SIGNET_MAX_RANK]; /* the first `rank` are used, each 0 or more */
  void *data;                     /* the host aligns its own to 64 bytes; NULL only when nbytes is 0 */
  uint64_t nbytes;                /* of an output on entry: how much the caller's buffer holds */
  const char *name;               /* UTF-8, NUL-terminated */
  void *owner;                    /* of an output on return: NULL, or what release() takes */
} signet_tensor;

/* One model file, read-only, valid until destroy() returns. 24 bytes. */
typedef struct signet_file {
  const char *name; /* a file name without a path, as the vendor listed it */
  const void *data;
  uint64_t nbytes;
} signet_file;

/*
 * Words shared between the host and a running call, in memory that another process may map. Read and write them
 * with plain aligned loads and stores (relaxed atomics); they order nothing else. Never NULL. 64 bytes.
 */
typedef struct signet_control {
  volatile uint32_t cancel;            /* host: nonzero asks run() to stop soon and return SIGNET_CANCELLED */
  volatile uint32_t progress_permille; /* plugin: 0 to 1000, never falling; leave 0 if unknown */
  volatile uint32_t stage;             /* plugin: which part of its work it is in, from 1; 0 says nothing */
  volatile uint32_t heartbeat;         /* plugin: add 1 whenever the work itself moves on, not from a timer */
  volatile uint64_t deadline_ns;       /* host: CLOCK_MONOTONIC, nanoseconds; 0 means none */
  uint64_t reserved[5];
} signet_control;

/* 32 bytes. */
typedef struct signet_create_args {
  uint32_t struct_size;
  uint32_t device_type;    /* SIGNET_DEVICE_CPU or SIGNET_DEVICE_CUDA */
  int32_t device_index;    /* which one of its type, from 0 */
  uint32_t file_count;
  const char *config_json; /* a JSON object, NUL-terminated; "{}" when there is nothing; see SIGNET_ENTITLEMENTS_KEY */
  const signet_file *files;
} signet_create_args;

/* What signet_plugin_v1() returns: static, read-only, valid for ever. 56 bytes. */
typedef struct signet_plugin {
  uint32_t abi_version; /* SIGNET_ABI_VERSION */
  uint32_t struct_size; /* sizeof(signet_plugin) of the header the plugin was built with */

  /*
   * Writes UTF-8 JSON without a NUL into `json` and its length into *length. When `capacity` is too small it
   * writes the length needed instead and returns SIGNET_OUT_OF_RANGE; `json` may then be NULL.
   *
   * instance NULL: the plugin itself. Touches no device and may come before, after and during anything.
   *   {"name", "version", "vendor", "description": strings,
   *    "threading": "concurrent" | "single", "cancel": "poll" | "none", "progress": true | false,
   *    "devices": ["cpu"], "files": "which model files create() expects, one sentence",
   *    "config": {"key": "what it does, one sentence"}}
   * otherwise: the tensors of this instance, in the order run() takes them. -1 is any size.
   *   {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}], "outputs": [...]}
   *   datatype: BOOL UINT8 UINT16 UINT32 UINT64 INT8 INT16 INT32 INT64 FP16 FP32 FP64 BF16 BYTES
   */
  int32_t (*describe)(void *instance, char *json, uint64_t capacity, uint64_t *length, char *error,
                      uint64_t error_capacity) SIGNET_NOEXCEPT;

  /*
   * Makes an instance and stores its handle in *instance. `args` and config_json are the host's and end with the
   * call; the bytes of the files stay until destroy() returns. Refuse configuration keys you do not know. On
   * failure nothing is left behind, *instance is NULL and destroy() is not called.
   */
  int32_t (*create)(const signet_create_args *args, void **instance, char *error,
                    uint64_t error_capacity) SIGNET_NOEXCEPT;

  /*
   * Runs one job. Inputs come in describe(instance)'s order, checked against it; they are the host's and
   * read-only. Each output comes with the caller's buffer in `data` and its size in `nbytes` (or NULL and 0). If
   * the result fits, write it there and set dtype, rank, shape and nbytes. If not, set `data` to memory of the
   * plugin's own, the other fields too, and `owner` to something non-null: the host calls release(owner) once.
   * Look at control->cancel every few milliseconds if describe(NULL) promises "cancel":"poll". On failure no
   * owner may remain set, whatever was written to the buffers is ignored, and the instance stays usable.
   */
  int32_t (*run)(void *instance, const signet_tensor *inputs, uint32_t input_count, signet_tensor *outputs,
                 uint32_t output_count, signet_control *control, char *error,
                 uint64_t error_capacity) SIGNET_NOEXCEPT;

  /* Takes back an output's memory; called once per owner, by any thread, before destroy(). Cannot fail. */
  void (*release)(void *instance, void *owner) SIGNET_NOEXCEPT;

  /* Ends an instance; no call on it is running and every owner has been released. Cannot fail. */
  void (*destroy)(void *instance) SIGNET_NOEXCEPT;

  /*
   * (optional) Does whatever makes the first run as fast as the others, once, before it. NULL: there is nothing
   * to warm up. On failure the service does not start.
   */
  int32_t (*warmup)(void *instance, signet_control *control, char *error, uint64_t error_capacity) SIGNET_NOEXCEPT;
} signet_plugin;

#ifdef __cplusplus
}
#endif

/* The one exported symbol. Callable at any time, from any thread; never NULL. */
SIGNET_EXPORT const signet_plugin *signet_plugin_v1(void) SIGNET_NOEXCEPT;

#endif
