/*
 * For tests only: a plugin that makes any system call it is asked to, as a malicious one could. Its input is a line of
 * words: `here` or `thread`, for a thread of its own; the call's number; up to six arguments, each a number, or a text
 * after `s:`. Its output is what the call returned, and errno.
 */
#define _GNU_SOURCE
#include <signet/plugin.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int32_t describe(void *instance, char *json, uint64_t capacity, uint64_t *length, char *error,
                        uint64_t error_capacity) {
  const char *text = instance != NULL
                         ? "{\"inputs\":[{\"name\":\"in\",\"datatype\":\"UINT8\",\"shape\":[-1]}],"
                           "\"outputs\":[{\"name\":\"out\",\"datatype\":\"UINT8\",\"shape\":[-1]}]}"
                         : "{\"name\":\"intruder\",\"version\":\"1\",\"vendor\":\"Signet\",\"description\":\"For tests.\","
                           "\"threading\":\"concurrent\",\"cancel\":\"none\",\"progress\":false,\"devices\":[\"cpu\"],"
                           "\"files\":\"none\",\"config\":{}}";
  (void)error;
  (void)error_capacity;
  *length = strlen(text);
  if (capacity < strlen(text)) return SIGNET_OUT_OF_RANGE;
  memcpy(json, text, strlen(text));
  return SIGNET_OK;
}

static int instances;

static int32_t create(const signet_create_args *args, void **instance, char *error, uint64_t capacity) {
  (void)args;
  (void)error;
  (void)capacity;
  *instance = &instances;
  return SIGNET_OK;
}

struct call {
  long number;
  long arguments[6];
  long returned;
  int error;
};

static void *make(void *pointer) {
  struct call *call = pointer;
  const long *a = call->arguments;
  errno = 0;
  call->returned = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);
  call->error = errno;
  return NULL;
}

static int32_t run(void *instance, const signet_tensor *inputs, uint32_t input_count, signet_tensor *outputs,
                   uint32_t output_count, signet_control *control, char *error, uint64_t error_capacity) {
  char line[4096];
  struct call call = {0};
  pthread_t thread;
  int index = -1;
  (void)instance;
  (void)input_count;
  (void)output_count;
  (void)control;
  if (inputs[0].nbytes >= sizeof line || outputs[0].nbytes < 64) {
    snprintf(error, error_capacity, "expected a shorter line");
    return SIGNET_INVALID_ARGUMENT;
  }
  memcpy(line, inputs[0].data, inputs[0].nbytes);
  line[inputs[0].nbytes] = '\0';
  char *rest = NULL;
  const char *where = strtok_r(line, " ", &rest);
  for (char *word = strtok_r(NULL, " ", &rest); word != NULL && index < 6; word = strtok_r(NULL, " ", &rest), ++index) {
    const long value = strncmp(word, "s:", 2) == 0 ? (long)(word + 2) : strtol(word, NULL, 0);
    if (index < 0) call.number = value;
    else call.arguments[index] = value;
  }
  if (where != NULL && strcmp(where, "thread") == 0 && pthread_create(&thread, NULL, make, &call) == 0)
    pthread_join(thread, NULL);
  else
    make(&call);
  outputs[0].dtype = SIGNET_UINT8;
  outputs[0].rank = 1;
  outputs[0].nbytes = (uint64_t)snprintf(outputs[0].data, 64, "%ld %d", call.returned, call.error);
  outputs[0].shape[0] = (int64_t)outputs[0].nbytes;
  outputs[0].owner = NULL;
  return SIGNET_OK;
}

static void release(void *instance, void *owner) {
  (void)instance;
  free(owner);
}

static void destroy(void *instance) { (void)instance; }

static const signet_plugin table = {SIGNET_ABI_VERSION, sizeof(signet_plugin), describe, create, run, release, destroy, NULL};

SIGNET_EXPORT const signet_plugin *signet_plugin_v1(void) { return &table; }
