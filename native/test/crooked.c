/*
 * For tests only: the smallest plugin in plain C, with one input and one output of bytes, that breaks the contract
 * wherever a macro says so. The test compiles it with -DFAULTS=..., a sum of the numbers below; 0 keeps every promise.
 */
#include <signet/plugin.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#ifndef FAULTS
#define FAULTS 0
#endif
#define HAS(fault) (((uint64_t)(FAULTS) >> (fault)) & 1)

enum {
  LOAD_SEGV, LOAD_LOOP, LOAD_EXIT, LOAD_HANDLER, TABLE_NULL, ABI_VERSION, STRUCT_SIZE, RUN_NULL,
  DESCRIBE_SEGV, DESCRIBE_NO_JSON, DESCRIBE_OVERRUN, DESCRIBE_SMALL_OK, DESCRIBE_NO_LENGTH,
  CREATE_SEGV, CREATE_LOOP, CREATE_ACCEPTS, CREATE_SILENT, CREATE_NO_NUL, CREATE_OVERRUN, CREATE_LEFT, CREATE_LEAK,
  CREATE_ONCE, CREATE_THREAD, DESTROY_SEGV, RUN_SEGV, RUN_LOOP, RUN_EXIT, RUN_DTYPE, RUN_SHAPE, RUN_SIZE, RUN_OVERRUN,
  RUN_ELSEWHERE, RUN_INPUT, RUN_ROOM, RUN_LEAK, RUN_OWNER, RUN_FAIL_OWNER, RUN_FAIL_SILENT, RUN_RACE, RUN_NO_CANCEL,
  RUN_SLOW, RUN_EMPTY, RUN_HOME, RUN_PROGRESS, CREATE_UNKNOWN_SEGV, DESCRIBE_SINGLE,
};

/* Where a test links a dependency in, it wants to see which one. */
#ifdef PART
extern const char *part_version(void);
#else
static const char *part_version(void) { return "crooked"; }
#endif
#ifndef VERSION
#define VERSION "1"
#endif

static int instances;
static volatile int inside;
static void *volatile leaked; /* so that the compiler cannot see that nobody will read it */

static void segv(void) {
  volatile int *volatile nowhere = NULL;
  *nowhere = 1;
}

static void loop(void) {
  for (volatile unsigned turns = 0;;) turns = turns + 1;
}

static void rest(long ms) {
  const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

static void handle(int number) { (void)number; }

static int32_t fail(const char *text, char *error, uint64_t capacity) {
  if (HAS(CREATE_SILENT)) text = "";
  if (HAS(CREATE_OVERRUN)) memset(error, 'x', capacity + 1);
  else if (HAS(CREATE_NO_NUL)) memset(error, 'x', capacity);
  else if (capacity > 0) snprintf(error, capacity, "%s", text);
  return SIGNET_INVALID_ARGUMENT;
}

__attribute__((constructor)) static void load(void) {
  const char *marker = getenv("SIGNET_TEST_MARKER");
  if (marker != NULL) fclose(fopen(marker, "w"));
  if (HAS(LOAD_SEGV)) segv();
  if (HAS(LOAD_LOOP)) loop();
  if (HAS(LOAD_EXIT)) _exit(0);
  if (HAS(LOAD_HANDLER)) signal(SIGUSR2, handle);
}

static int32_t describe(void *instance, char *json, uint64_t capacity, uint64_t *length, char *error,
                        uint64_t error_capacity) {
  char text[1024];
  (void)error;
  (void)error_capacity;
  if (HAS(DESCRIBE_SEGV)) segv();
  if (instance != NULL)
    snprintf(text, sizeof text,
             "{\"inputs\":[{\"name\":\"in\",\"datatype\":\"UINT8\",\"shape\":[-1]}],"
             "\"outputs\":[{\"name\":\"out\",\"datatype\":\"UINT8\",\"shape\":[-1]}]}");
  else
    snprintf(text, sizeof text,
             "{\"name\":\"crooked\",\"version\":\"%s\",\"vendor\":\"%s\",\"description\":\"For tests.\","
             "\"threading\":\"%s\",\"cancel\":\"poll\",\"progress\":%s,\"devices\":[\"cpu\"],"
             "\"files\":\"none\",\"config\":{}}",
             VERSION, part_version(), HAS(DESCRIBE_SINGLE) ? "single" : "concurrent", HAS(RUN_PROGRESS) ? "true" : "false");
  if (HAS(DESCRIBE_NO_JSON)) strcpy(text, "crooked");
  *length = HAS(DESCRIBE_NO_LENGTH) && capacity < strlen(text) ? 0 : strlen(text);
  if (HAS(DESCRIBE_OVERRUN) || capacity >= strlen(text)) {
    if (json != NULL) memcpy(json, text, strlen(text));
  }
  return capacity >= strlen(text) || HAS(DESCRIBE_SMALL_OK) ? SIGNET_OK : SIGNET_OUT_OF_RANGE;
}

static void *stay(void *nothing) {
  for (;;) rest(1000);
  return nothing;
}

static int32_t create(const signet_create_args *args, void **instance, char *error, uint64_t capacity) {
  *instance = NULL;
  if (HAS(CREATE_SEGV)) segv();
  if (HAS(CREATE_LOOP)) loop();
  if (strcmp(args->config_json, "{}") != 0 && !HAS(CREATE_ACCEPTS)) {
    if (HAS(CREATE_UNKNOWN_SEGV)) segv();
    if (HAS(CREATE_LEFT)) *instance = &instances;
    return fail("config: expected {}, found keys", error, capacity);
  }
  if (HAS(CREATE_ONCE) && instances > 0) return fail("expected no other instance, found one", error, capacity);
  if (HAS(CREATE_THREAD)) {
    pthread_t thread;
    pthread_create(&thread, NULL, stay, NULL);
  }
  ++instances;
  *instance = malloc(HAS(CREATE_LEAK) ? 1 << 20 : 16);
  memset(*instance, 1, HAS(CREATE_LEAK) ? 1 << 20 : 16);
  return SIGNET_OK;
}

static void destroy(void *instance) {
  if (HAS(DESTROY_SEGV)) segv();
  --instances;
  if (!HAS(CREATE_LEAK)) free(instance);
}

static void release(void *instance, void *owner) {
  (void)instance;
  if (!HAS(RUN_LEAK)) free(owner);
}

/* Works for 100 ms in steps, looking up between them. False if it was stopped. */
static int work(const signet_control *control) {
  for (int step = 0; step < 100; ++step) {
    if (control->cancel && !HAS(RUN_NO_CANCEL)) return 0;
    rest(1);
  }
  return 1;
}

static int32_t run(void *instance, const signet_tensor *inputs, uint32_t input_count, signet_tensor *outputs,
                   uint32_t output_count, signet_control *control, char *error, uint64_t error_capacity) {
  signet_tensor *out = &outputs[0];
  const uint64_t room = out->nbytes, size = inputs[0].nbytes;
  unsigned char *into = out->data;
  (void)instance;
  (void)input_count;
  (void)output_count;
  if (HAS(RUN_PROGRESS)) control->progress_permille = 2000;
  if (HAS(RUN_SEGV)) segv();
  if (HAS(RUN_LOOP)) loop();
  if (HAS(RUN_EXIT)) exit(0);
  if (HAS(RUN_EMPTY) && size == 0) segv();
  if (HAS(RUN_FAIL_OWNER)) out->owner = malloc(1);
  if (HAS(RUN_FAIL_OWNER) || HAS(RUN_FAIL_SILENT)) {
    snprintf(error, error_capacity, "%s", HAS(RUN_FAIL_SILENT) ? "" : "failed");
    return SIGNET_INTERNAL;
  }
  if ((HAS(RUN_SLOW) || HAS(RUN_NO_CANCEL)) && !work(control)) {
    snprintf(error, error_capacity, "the job was cancelled");
    return SIGNET_CANCELLED;
  }
  if (HAS(RUN_HOME)) {
    char path[512];
    snprintf(path, sizeof path, "%s/trace", getenv("HOME"));
    fclose(fopen(path, "w"));
  }
  if (HAS(RUN_INPUT)) ((unsigned char *)inputs[0].data)[0] = 7;

  out->owner = NULL;
  if (size > room && !HAS(RUN_ROOM)) {
    into = malloc(size);
    out->data = into;
    out->owner = HAS(RUN_OWNER) ? NULL : into;
    if (HAS(RUN_LEAK)) memset(leaked = malloc(1 << 20), 1, 1 << 20);
  }
  if (size > 0 && into != NULL) memcpy(into, inputs[0].data, size);
  if (HAS(RUN_RACE)) {
    ++inside;
    rest(5);
    into[0] = inside > 1;
    --inside;
  }
  if (HAS(RUN_OVERRUN) && room > 0) ((unsigned char *)out->data)[room] = 1;
  if (HAS(RUN_ELSEWHERE)) out->data = &instances;
  out->dtype = HAS(RUN_DTYPE) ? SIGNET_FP32 : SIGNET_UINT8;
  out->rank = 1;
  out->shape[0] = HAS(RUN_SHAPE) ? -3 : (int64_t)size;
  out->nbytes = HAS(RUN_SIZE) ? size + 1 : size;
  return SIGNET_OK;
}

static const signet_plugin table = {
    HAS(ABI_VERSION) ? 2 : SIGNET_ABI_VERSION,
    HAS(STRUCT_SIZE) ? 48 : sizeof(signet_plugin),
    describe,
    create,
    HAS(RUN_NULL) ? NULL : run,
    release,
    destroy,
    NULL,
};

const signet_plugin *signet_plugin_v1(void) { return HAS(TABLE_NULL) ? NULL : &table; }
