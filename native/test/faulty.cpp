#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>
#include <thread>

#include "host.hpp"

struct Answer {
  host::Outcome outcome;
  signet_tensor output;
  std::vector<int64_t> buffer;
};

static Answer ask(const host::Instance &instance, const std::string &mode, int64_t amount,
                  signet_control *control = nullptr) {
  std::vector<char> modeBytes = host::bytes({mode});
  std::vector<int64_t> amounts = {amount}, buffer(4);
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  const host::Outcome outcome = host::run(
      instance, {host::tensor(SIGNET_BYTES, {1}, modeBytes), host::tensor(SIGNET_INT64, {1}, amounts)}, outputs, control);
  return {outcome, outputs[0], buffer};
}

// How a process ends that does this: its wait status.
static int endOf(const std::function<void()> &act) {
  const pid_t child = fork();
  if (child == 0) {
    const rlimit noCore = {0, 0};
    setrlimit(RLIMIT_CORE, &noCore);
    std::freopen("/dev/null", "w", stderr);
    act();
    _exit(99);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return status;
}

static bool endsBySignal(int status, int signal) { return WIFSIGNALED(status) && WTERMSIG(status) == signal; }

static void answersAndFails(const host::Instance &instance) {
  const Answer good = ask(instance, "ok", 7);
  CHECK(good.outcome.status == SIGNET_OK && good.buffer[0] == 7 && good.output.shape[0] == 1);
  CHECK(ask(instance, "fail", 0).outcome.status == SIGNET_INTERNAL);
  CHECK(!ask(instance, "fail", 0).outcome.error.empty());
  CHECK(ask(instance, "no such mode", 0).outcome.status == SIGNET_INVALID_ARGUMENT);
  CHECK(ask(instance, "leak", 1).outcome.status == SIGNET_OK);
  CHECK(ask(instance, "sleep", 1).outcome.status == SIGNET_OK);
}

static void endsTheProcess(const host::Instance &instance) {
  CHECK(endsBySignal(endOf([&] { ask(instance, "segv", 0); }), SIGSEGV));
  CHECK(endsBySignal(endOf([&] { ask(instance, "abort", 0); }), SIGABRT));
  CHECK(endsBySignal(endOf([&] { ask(instance, "throw", 0); }), SIGABRT));
  CHECK(endsBySignal(endOf([&] { ask(instance, "fpe", 0); }), SIGFPE));
  CHECK(endsBySignal(endOf([&] { ask(instance, "stack", 0); }), SIGSEGV));
  const int exited = endOf([&] { ask(instance, "exit", 5); });
  CHECK(WIFEXITED(exited) && WEXITSTATUS(exited) == 5);
  // Nothing but a signal ends it: the process's own alarm here, the host's SIGKILL in earnest.
  CHECK(endsBySignal(endOf([&] { alarm(1), ask(instance, "loop", 0); }), SIGALRM));
}

static void waitsUntilItIsCancelled(const host::Instance &instance) {
  signet_control done = {};
  CHECK(ask(instance, "wait", 5, &done).outcome.status == SIGNET_OK);
  CHECK(done.progress_permille == 1000 && done.heartbeat > 0);

  signet_control control = {};
  std::thread canceller([&] {
    while (__atomic_load_n(&control.heartbeat, __ATOMIC_RELAXED) == 0) std::this_thread::yield();
    __atomic_store_n(&control.cancel, 1, __ATOMIC_RELAXED);
  });
  CHECK(ask(instance, "wait", 3600000, &control).outcome.status == SIGNET_CANCELLED);
  canceller.join();

  signet_control late = {};
  late.deadline_ns = 1;
  CHECK(ask(instance, "wait", 3600000, &late).outcome.status == SIGNET_DEADLINE_EXCEEDED);
}

static void lies(const host::Instance &instance) {
  const Answer grown = ask(instance, "grow", 100);
  CHECK(grown.output.owner != nullptr && grown.output.shape[0] == 100 && grown.output.nbytes == 800);
  CHECK(static_cast<int64_t *>(grown.output.data)[99] == 99);
  instance.plugin->release(instance.handle, grown.output.owner);
  CHECK(ask(instance, "grow", 4).output.owner == nullptr);
  CHECK(ask(instance, "grow", -1).outcome.status == SIGNET_INVALID_ARGUMENT);

  const Answer size = ask(instance, "lie-size", 1);
  CHECK(size.outcome.status == SIGNET_OK && size.output.owner == nullptr && size.output.nbytes > 32);
  const Answer shape = ask(instance, "lie-shape", 1);
  CHECK(shape.output.nbytes == 8 && shape.output.shape[0] == 1000);
  const Answer owner = ask(instance, "lie-owner", 1);
  CHECK(owner.output.owner != nullptr && owner.output.nbytes == uint64_t{1} << 40);
  instance.plugin->release(instance.handle, owner.output.owner);
}

static void misbehavesInCreate(const signet_plugin *plugin) {
  CHECK(host::Instance(plugin, R"({"create": "fail"})").status == SIGNET_UNAVAILABLE);
  CHECK(host::Instance(plugin, R"({"create": "dance"})").status == SIGNET_INVALID_ARGUMENT);
  CHECK(endsBySignal(endOf([&] { host::Instance(plugin, R"({"create": "segv"})"); }), SIGSEGV));
  const int exited = endOf([&] { host::Instance(plugin, R"({"create": "exit"})"); });
  CHECK(WIFEXITED(exited) && WEXITSTATUS(exited) == 0);
  CHECK(endsBySignal(endOf([&] { alarm(1), host::Instance(plugin, R"({"create": "loop"})"); }), SIGALRM));
}

int main(int, char **argv) {
  const signet_plugin *plugin = host::load(argv[1]);
  CHECK(host::describe(plugin, nullptr).find("name")->string == "faulty");
  {
    const host::Instance instance(plugin, "{}");
    CHECK(instance.status == SIGNET_OK);
    answersAndFails(instance);
    endsTheProcess(instance);
    waitsUntilItIsCancelled(instance);
    lies(instance);
  }
  misbehavesInCreate(plugin);
  return finish();
}
