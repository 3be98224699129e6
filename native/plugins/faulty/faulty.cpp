// For tests only: a plugin that misbehaves on request, in every way a native library can.
#include <signet/plugin.hpp>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace {

[[noreturn]] void loopForEver() {
  for (volatile unsigned turns = 0;;) turns = turns + 1;
}

void segv() {
  volatile int *volatile nowhere = nullptr;
  *nowhere = 1;
}

void fpe() {
  volatile int zero = 0;
  volatile int result = 1 / zero;
  static_cast<void>(result);
  std::raise(SIGFPE);  // where the processor does not trap, as on arm64
}

// Touches every page on its way down; the volatile read keeps the call from becoming a loop.
int overflowStack(int64_t depth) {
  volatile char page[4096];
  page[0] = static_cast<char>(depth);
  return depth < INT64_MAX ? overflowStack(depth + 1) + page[0] : 0;
}

void leak(int64_t mib) {
  const size_t size = static_cast<size_t>(mib) << 20;
  void *block = std::malloc(size);
  if (block == nullptr) throw std::bad_alloc();
  std::memset(block, 0x5a, size);
  static std::atomic<void *> last{nullptr};  // so that the compiler cannot see that nobody will read it
  last = block;
}

// A GiB, not all of it at once.
[[noreturn]] void leakAndStay() {
  for (int blocks = 0;; ++blocks) {
    if (blocks < 16) leak(64);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

// A block in memory that counts as shared, though nobody shares it.
void leakShared(int64_t mib) {
  const size_t size = static_cast<size_t>(mib) << 20;
  void *block = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (block == MAP_FAILED) throw std::bad_alloc();
  std::memset(block, 0x5a, size);
}

// Writes what no service host would to its channel to the gateway.
void writeToChannel(const std::string &text) {
  const int channel = 3;
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = write(channel, text.data() + done, text.size() - done);
    if (written > 0) done += static_cast<size_t>(written);
    else if (errno == EAGAIN) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    else return;
  }
}

std::string repeated(const std::string &text, int64_t times) {
  std::string all;
  for (int64_t i = 0; i < times; ++i) all += text;
  return all;
}

// Takes the memory away that the gateway maps too, unless its size is sealed.
void shrinkSharedMemory() {
  const int slots = 4;
  if (ftruncate(slots, 0) != 0) throw signet::Error(SIGNET_UNAVAILABLE, "the size of the slots is sealed");
}

// Writes nonsense over the rings by which jobs come and go, or a part of them that the gateway reads.
void scribble(size_t from, size_t to) {
  const int slots = 4;
  void *rings = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, slots, 0);
  if (rings == MAP_FAILED) throw signet::Error(SIGNET_UNAVAILABLE, "the slots could not be mapped");
  std::memset(static_cast<char *>(rings) + from, 0xff, to - from);
}

// Wakes the gateway so often for nothing.
void knock(int64_t times) {
  const int bell = 5;
  const std::string bytes(static_cast<size_t>(times), 'x');
  if (write(bell, bytes.data(), bytes.size()) < 0) throw signet::Error(SIGNET_UNAVAILABLE, "nobody hears the bell");
}

class Faulty {
 public:
  static signet::Facts facts() {
    signet::Facts facts;
    facts.name = "faulty";
    facts.version = "1.0.0";
    facts.vendor = "Signet";
    facts.description = "Misbehaves on request, for tests.";
    facts.concurrent = true;
    facts.cancellable = true;
    facts.progress = true;
    facts.config = {{"create", "What create() does wrong: fail, segv, exit, loop or leak."}};
    return facts;
  }

  explicit Faulty(const signet::CreateArgs &args) : device_(args.deviceType * 100 + args.deviceIndex) {
    args.onlyKeys({"create"});
    const signet::Json *create = args.config.find("create");
    if (create == nullptr) return;
    const std::string &how = create->asString("config.create");
    if (how == "fail") throw signet::Error(SIGNET_UNAVAILABLE, "create failed, as it was asked to");
    else if (how == "segv") segv();
    else if (how == "exit") std::exit(0);
    else if (how == "loop") loopForEver();
    else if (how == "leak") leakAndStay();
    else throw std::invalid_argument("config.create: expected fail, segv, exit, loop or leak");
  }

  std::vector<signet::TensorSpec> inputs() const { return {{"mode", SIGNET_BYTES, {1}}, {"amount", SIGNET_INT64, {1}}}; }
  std::vector<signet::TensorSpec> outputs() const { return {{"result", SIGNET_INT64, {-1}}}; }

  void run(const signet::Inputs &inputs, signet::Outputs &outputs, signet::Control &control) {
    const std::string mode(inputs[0].strings()[0]);
    const int64_t amount = *inputs[1].data<int64_t>();
    if (mode == "device") return answer(outputs[0], device_);
    if (misbehave(mode, amount, control)) answer(outputs[0], amount);
    else if (!lie(mode, amount, outputs[0])) throw std::invalid_argument("mode: unknown mode " + mode);
  }

 private:
  // Where the instance was made: its type times a hundred, and its number.
  const int64_t device_;

  static void answer(signet::Output output, int64_t amount) { *output.place<int64_t>(SIGNET_INT64, {1}) = amount; }

  // The modes that end well, or end everything. False if `mode` is not one of them.
  static bool misbehave(const std::string &mode, int64_t amount, signet::Control &control) {
    if (mode == "ok") return true;
    if (mode == "fail") throw signet::Error(SIGNET_INTERNAL, "failed, as it was asked to");
    if (mode == "segv") return segv(), true;
    if (mode == "abort") std::abort();
    if (mode == "throw") return std::thread([] { throw std::runtime_error("nobody catches this"); }).join(), true;
    if (mode == "fpe") return fpe(), true;
    if (mode == "stack") return overflowStack(0) != 0;
    if (mode == "exit") std::exit(static_cast<int>(amount));
    if (mode == "loop") loopForEver();
    if (mode == "wait") return wait(amount, control), true;
    if (mode == "sleep") return std::this_thread::sleep_for(std::chrono::milliseconds(amount)), true;
    if (mode == "leak") return leak(amount), true;
    if (mode == "leak-shared") return leakShared(amount), true;
    if (mode == "shrink") return shrinkSharedMemory(), true;
    if (mode == "scribble") return scribble(0, 4096), true;
    if (mode == "complete-all") return scribble(2048, 3072), true;
    if (mode == "knock") return knock(amount), true;
    if (mode == "say-noise") return writeToChannel("this is not JSON\n"), true;
    if (mode == "say-node") return writeToChannel("{\"cmd\":\"NODE_HANDLE_ACK\"}\n"), true;
    if (mode == "say-null") return writeToChannel("null\n"), true;
    if (mode == "say-nested") return writeToChannel(std::string(1 << 20, '[') + "\n"), true;
    if (mode == "say-endless") return writeToChannel(std::string(static_cast<size_t>(amount) << 20, 'x')), true;
    if (mode == "say-odd") return writeToChannel("{\"type\":\"done\",\"id\":1,\"reply\":{\"ok\":true,\"runUs\":1,\"outputs\":[null]}}\n"), true;
    if (mode == "say-ready") return writeToChannel(R"({"type":"ready","plugin":"{}","instance":"{}"})" "\n"), true;
    if (mode == "say-failed") return writeToChannel(R"({"type":"failed","code":"LIBRARY_CHANGED","message":""})" "\n"), true;
    if (mode == "say-beats") return writeToChannel(repeated("{\"type\":\"beat\"}\n", amount)), true;
    if (mode == "print") return print(amount), true;
    if (mode == "tell") return tell(amount, control), true;
    return false;
  }

  // Empty lines, as many MiB as asked for.
  static void print(int64_t mib) {
    const std::string lines(1 << 20, '\n');
    for (int64_t i = 0; i < mib; ++i) {
      for (size_t done = 0; done < lines.size();) {
        const ssize_t written = write(STDOUT_FILENO, lines.data() + done, lines.size() - done);
        if (written > 0) done += static_cast<size_t>(written);
        else if (errno == EAGAIN) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        else return;
      }
    }
  }

  // A line when it begins and one when it ends, a moment later.
  static void tell(int64_t number, signet::Control &control) {
    dprintf(STDOUT_FILENO, "begin %lld\n", static_cast<long long>(number));
    wait(30, control);
    dprintf(STDERR_FILENO, "end %lld\n", static_cast<long long>(number));
  }

  // The well-behaved long job: looks at the cancel word, tells how far it is.
  static void wait(int64_t milliseconds, signet::Control &control) {
    const auto start = std::chrono::steady_clock::now();
    control.stage(1);
    for (;;) {
      control.throwIfStopped();
      const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(
          std::chrono::steady_clock::now() - start).count();
      control.beat();
      control.progress(static_cast<uint32_t>(milliseconds <= 0 ? 1000 : std::min<int64_t>(1000, passed * 1000 / milliseconds)));
      if (passed >= milliseconds) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  // The modes that tell the host something untrue about the output. False if `mode` is not one of them.
  static bool lie(const std::string &mode, int64_t amount, signet::Output output) {
    signet_tensor &raw = output.raw();
    const uint64_t capacity = raw.nbytes;
    if (mode == "grow") {
      // As many elements as asked for, mostly more than the caller's buffer holds: no lie, but memory of ours.
      int64_t *elements = output.place<int64_t>(SIGNET_INT64, {amount});
      for (int64_t i = 0; i < amount; ++i) elements[i] = i;
    } else if (mode == "lie-size") {
      // Claims to have written past the end of the caller's buffer.
      answer(output, amount);
      raw.shape[0] = static_cast<int64_t>(capacity / sizeof(int64_t)) + 1024;
      raw.nbytes = static_cast<uint64_t>(raw.shape[0]) * sizeof(int64_t);
    } else if (mode == "lie-shape") {
      answer(output, amount);
      raw.shape[0] = 1000;
    } else if (mode == "lie-owner") {
      // Memory of its own, of which it has far less than it says.
      raw.nbytes = 0;
      answer(output, amount);
      raw.shape[0] = int64_t{1} << 37;
      raw.nbytes = static_cast<uint64_t>(raw.shape[0]) * sizeof(int64_t);
    } else {
      return false;
    }
    return true;
  }
};

}  // namespace

SIGNET_PLUGIN(Faulty)
