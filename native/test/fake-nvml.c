/*
 * For tests only: a stand-in for NVIDIA's libnvidia-ml.so.1 whose cards stand in a file beside it, NAME.cards, which is
 * read at every call: what is written there while a program runs is what it finds next. Names, numbers and types are
 * those of NVIDIA's nvml.h; nothing here talks to a GPU. Lines of the file:
 *
 *   init CODE                                          what nvmlInit_v2 returns
 *   hang FUNCTION                                      this function never returns
 *   card INDEX UUID TOTAL USED BUSY HEAT MIG CODE      bytes, percent, degrees; MIG 1, 0, or -1 where it cannot be; CODE
 *                                                      is what every call on the card returns, 0 for none
 *   part CARD INDEX UUID TOTAL USED                    a MIG partition
 *   process CARD PART PID BYTES                        PART -1 for the whole card; BYTES -1 where it is not known
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define API __attribute__((visibility("default")))
#define MOST 64
enum { OK = 0, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, TOO_SMALL = 7, UNKNOWN = 999 };

typedef struct { int card, part; } device;
typedef struct { int index; char uuid[96]; long long total, used; int busy, heat, mig, code; } card;
typedef struct { int card, index; char uuid[96]; long long total, used; } part;
typedef struct { int card, part; unsigned pid; long long bytes; } process;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned gpu, memory; } utilization;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu_instance, compute_instance; } process_info;

static struct {
  int init, cards, parts, processes;
  char hang[64];
  card card[MOST];
  part part[MOST];
  process process[MOST];
} now;

/* static storage: a handle must stay valid, as with the real library */
static device handles[MOST][MOST + 1];

static void read_cards(void) {
  Dl_info self;
  char path[4096], line[512];
  memset(&now, 0, sizeof now);
  now.init = UNKNOWN;
  if (!dladdr(&now, &self)) return;
  snprintf(path, sizeof path, "%s.cards", self.dli_fname);
  FILE *file = fopen(path, "re");
  if (file == NULL) return;
  now.init = OK;
  while (fgets(line, sizeof line, file) != NULL) {
    card *c = &now.card[now.cards];
    part *p = &now.part[now.parts];
    process *r = &now.process[now.processes];
    sscanf(line, "init %d", &now.init);
    sscanf(line, "hang %63s", now.hang);
    if (now.cards < MOST && sscanf(line, "card %d %95s %lld %lld %d %d %d %d", &c->index, c->uuid, &c->total, &c->used,
                                   &c->busy, &c->heat, &c->mig, &c->code) == 8) now.cards++;
    if (now.parts < MOST && sscanf(line, "part %d %d %95s %lld %lld", &p->card, &p->index, p->uuid, &p->total,
                                   &p->used) == 5) now.parts++;
    if (now.processes < MOST && sscanf(line, "process %d %d %u %lld", &r->card, &r->part, &r->pid, &r->bytes) == 4)
      now.processes++;
  }
  fclose(file);
}

/* Reads the file for a function, and stays in it where that is asked for. */
static void enter(const char *function) {
  read_cards();
  while (strcmp(now.hang, function) == 0) pause();
}

static card *card_of(const device *handle) {
  for (int i = 0; i < now.cards; i++)
    if (now.card[i].index == handle->card) return &now.card[i];
  return NULL;
}

static part *part_of(const device *handle) {
  for (int i = 0; i < now.parts; i++)
    if (now.part[i].card == handle->card && now.part[i].index == handle->part) return &now.part[i];
  return NULL;
}

/* What is wrong with a device, whatever is asked of it. */
static int trouble_of(const device *handle) {
  const card *found = card_of(handle);
  if (found == NULL) return NOT_FOUND;
  if (found->code != OK) return found->code;
  return handle->part >= 0 && part_of(handle) == NULL ? NOT_FOUND : OK;
}

API int nvmlInit_v2(void) {
  enter("nvmlInit_v2");
  return now.init;
}

API int nvmlShutdown(void) { return OK; }

API int nvmlSystemGetDriverVersion(char *version, unsigned length) {
  snprintf(version, length, "%s", "550.54.15");
  return OK;
}

API int nvmlDeviceGetCount_v2(unsigned *count) {
  enter("nvmlDeviceGetCount_v2");
  *count = (unsigned)now.cards;
  return OK;
}

API int nvmlDeviceGetHandleByIndex_v2(unsigned index, device **handle) {
  enter("nvmlDeviceGetHandleByIndex_v2");
  if (index >= (unsigned)now.cards) return INVALID;
  device *found = &handles[index][0];
  *found = (device){now.card[index].index, -1};
  *handle = found;
  return trouble_of(found);
}

API int nvmlDeviceGetUUID(device *handle, char *uuid, unsigned length) {
  enter("nvmlDeviceGetUUID");
  int trouble = trouble_of(handle);
  if (trouble == OK)
    snprintf(uuid, length, "%s", handle->part < 0 ? card_of(handle)->uuid : part_of(handle)->uuid);
  return trouble;
}

API int nvmlDeviceGetName(device *handle, char *name, unsigned length) {
  snprintf(name, length, "%s", handle->part < 0 ? "NVIDIA H100 80GB HBM3" : "NVIDIA H100 80GB HBM3 MIG 1g.10gb");
  return OK;
}

API int nvmlDeviceGetMemoryInfo(device *handle, memory *found) {
  enter("nvmlDeviceGetMemoryInfo");
  int trouble = trouble_of(handle);
  if (trouble != OK) return trouble;
  const long long total = handle->part < 0 ? card_of(handle)->total : part_of(handle)->total;
  const long long used = handle->part < 0 ? card_of(handle)->used : part_of(handle)->used;
  *found = (memory){(unsigned long long)total, (unsigned long long)(total - used), (unsigned long long)used};
  return OK;
}

API int nvmlDeviceGetUtilizationRates(device *handle, utilization *found) {
  enter("nvmlDeviceGetUtilizationRates");
  int trouble = trouble_of(handle);
  if (trouble != OK) return trouble;
  if (handle->part >= 0 || card_of(handle)->mig == 1) return NOT_SUPPORTED;
  *found = (utilization){(unsigned)card_of(handle)->busy, 1};
  return OK;
}

API int nvmlDeviceGetTemperature(device *handle, int sensor, unsigned *degrees) {
  enter("nvmlDeviceGetTemperature");
  int trouble = trouble_of(handle);
  if (trouble != OK) return trouble;
  if (sensor != 0) return INVALID;
  *degrees = (unsigned)card_of(handle)->heat;
  return OK;
}

API int nvmlDeviceGetMigMode(device *handle, unsigned *current, unsigned *pending) {
  enter("nvmlDeviceGetMigMode");
  int trouble = trouble_of(handle);
  if (trouble != OK) return trouble;
  if (card_of(handle)->mig < 0) return NOT_SUPPORTED;
  *current = *pending = (unsigned)card_of(handle)->mig;
  return OK;
}

API int nvmlDeviceGetMaxMigDeviceCount(device *handle, unsigned *count) {
  (void)handle;
  *count = 7;
  return OK;
}

API int nvmlDeviceGetMigDeviceHandleByIndex(device *handle, unsigned index, device **found) {
  enter("nvmlDeviceGetMigDeviceHandleByIndex");
  if (index >= MOST) return INVALID;
  device wanted = {handle->card, (int)index};
  if (part_of(&wanted) == NULL) return NOT_FOUND;
  device *slot = &handles[handle->card % MOST][index + 1];
  *slot = wanted;
  *found = slot;
  return OK;
}

API int nvmlDeviceGetComputeRunningProcesses_v3(device *handle, unsigned *count, process_info *infos) {
  enter("nvmlDeviceGetComputeRunningProcesses_v3");
  int trouble = trouble_of(handle);
  if (trouble != OK) return trouble;
  unsigned found = 0;
  for (int i = 0; i < now.processes; i++) {
    const process *each = &now.process[i];
    if (each->card != handle->card || (handle->part >= 0 && each->part != handle->part)) continue;
    if (found < *count)
      infos[found] = (process_info){each->pid, (unsigned long long)each->bytes, ~0u, ~0u};
    found++;
  }
  int fits = found <= *count;
  *count = found;
  return fits ? OK : TOO_SMALL;
}
