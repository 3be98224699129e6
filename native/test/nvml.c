/*
 * For tests only: a stand-in for NVIDIA's libnvidia-ml.so.1 with as many GPUs as -DGPUS says and the troubles that
 * other macros name. Names, numbers and types are those of NVIDIA's nvml.h; nothing here talks to a GPU.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#ifndef GPUS
#define GPUS 2
#endif
#ifndef INIT
#define INIT 0 /* what nvmlInit_v2 returns */
#endif
#ifndef LOST
#define LOST (-1) /* the index of a GPU that has fallen off the bus */
#endif
#ifndef UUID
#define UUID "GPU-%08x-4b5a-6978-8695-a4b3c2d1e0f5"
#endif
#ifndef COUNT
#define COUNT 0 /* what nvmlDeviceGetCount_v2 returns */
#endif

typedef struct { int index; } device;
typedef struct { unsigned long long total, free, used; } memory;

/* static storage: a handle must stay valid, as with the real library */
static device devices[256];

API int nvmlInit_v2(void) {
  puts("a library may print what it likes");
  fflush(stdout);
#ifdef CRASH
  abort();
#endif
#ifdef HANG
  for (;;) pause();
#endif
#ifdef PRELOADED
  if (getenv("LD_PRELOAD") || getenv("LD_LIBRARY_PATH")) return 999;
#endif
  return INIT;
}

API int nvmlShutdown(void) { return 0; }

API int nvmlSystemGetDriverVersion(char *version, unsigned length) {
  snprintf(version, length, "%s", "550.54.15");
  return 0;
}

API int nvmlDeviceGetCount_v2(unsigned *count) {
  *count = (unsigned)(GPUS);
  return COUNT;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **handle) {
  if (index >= 256) return 2;
  if ((int)index == LOST) return 15;
  devices[index].index = (int)index;
  *handle = &devices[index];
  return 0;
}

#ifndef NO_UUID
API int nvmlDeviceGetUUID(device *handle, char *uuid, unsigned length) {
  snprintf(uuid, length, UUID, (unsigned)handle->index + 1);
  return 0;
}
#endif

API int nvmlDeviceGetName(device *handle, char *name, unsigned length) {
  (void)handle;
  snprintf(name, length, "%s", "NVIDIA H100 80GB HBM3\x1b[31m");
  return 0;
}

#ifndef OLD
API int nvmlDeviceGetMemoryInfo(device *handle, memory *found) {
  (void)handle;
  found->total = 85520809984ull;
  found->free = found->total;
  found->used = 0;
  return 0;
}

API int nvmlDeviceGetMigMode(device *handle, unsigned *current, unsigned *pending) {
#ifdef MIG
  *current = *pending = handle->index == 0;
  return 0;
#else
  (void)handle;
  (void)current;
  (void)pending;
  return 3;
#endif
}
#endif
