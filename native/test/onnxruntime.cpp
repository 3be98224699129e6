#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "host.hpp"
#include "onnx-model.hpp"

static signet_file file(const char *name, const std::string &bytes) { return {name, bytes.data(), bytes.size()}; }

static std::string read(const char *path) {
  std::ifstream stream(path, std::ios::binary);
  CHECK(stream.good());
  return std::string(std::istreambuf_iterator<char>(stream), {});
}

static void recognizesALine(const signet_plugin *plugin, const char *path) {
  const std::string model = read(path);
  const host::Instance instance(plugin, R"({"intraOpThreads": 1})", {file("rec.onnx", model)});
  CHECK(instance.status == SIGNET_OK);
  const signet::Json tensors = host::describe(plugin, instance.handle);
  const signet::Json &input = tensors.find("inputs")->items[0];
  CHECK(input.find("datatype")->string == "FP32" && input.find("shape")->items.size() == 4);
  CHECK(input.find("shape")->items[1].number == 3 && input.find("shape")->items[3].number == -1);

  std::vector<float> image(3 * 48 * 320), buffer(40 * 6625), none;
  for (size_t i = 0; i < image.size(); ++i) image[i] = std::sin(static_cast<float>(i) * 0.01f);
  const signet_tensor x = host::tensor(SIGNET_FP32, {1, 3, 48, 320}, image);
  std::vector<signet_tensor> placed = {host::room(buffer)}, lent = {host::room(none)};
  signet_control control = {};
  CHECK(host::run(instance, {x}, placed, &control).status == SIGNET_OK);
  CHECK(control.stage == 3 && control.heartbeat == 3);
  CHECK(placed[0].owner == nullptr && placed[0].rank == 3 && placed[0].shape[1] == 40 && placed[0].shape[2] == 6625);
  for (int step = 0; step < 40; ++step) {
    double sum = 0;
    for (int c = 0; c < 6625; ++c) sum += buffer[static_cast<size_t>(step * 6625 + c)];
    CHECK(std::fabs(sum - 1) < 1e-3);  // each step is a softmax over the characters
  }
  CHECK(host::run(instance, {x}, lent).status == SIGNET_OK);
  CHECK(lent[0].owner != nullptr && lent[0].nbytes == buffer.size() * sizeof(float));
  CHECK(std::memcmp(lent[0].data, buffer.data(), lent[0].nbytes) == 0);
  plugin->release(instance.handle, lent[0].owner);
}

static void runsConcurrently(const signet_plugin *plugin, const char *path) {
  const std::string model = read(path);
  const host::Instance instance(plugin, "{}", {file("cls.onnx", model)});
  CHECK(instance.status == SIGNET_OK);
  std::atomic<int> right{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      std::vector<float> image(3 * 48 * 192, 0.1f * static_cast<float>(t)), first(2), again(2);
      const signet_tensor x = host::tensor(SIGNET_FP32, {1, 3, 48, 192}, image);
      for (int i = 0; i < 25; ++i) {
        std::vector<signet_tensor> outputs = {host::room(i == 0 ? first : again)};
        signet_control control = {};
        char error[256];
        if (plugin->run(instance.handle, &x, 1, outputs.data(), 1, &control, error, sizeof error) != SIGNET_OK) return;
        if (i > 0 && again != first) return;
      }
      ++right;
    });
  for (std::thread &thread : threads) thread.join();
  CHECK(right == 4);
}

static void keepsStringsWhole(const signet_plugin *plugin) {
  const std::string model = onnx::identity(SIGNET_BYTES, {-1});
  const host::Instance instance(plugin, "{}", {file("strings.onnx", model)});
  CHECK(instance.status == SIGNET_OK);
  CHECK(host::describe(plugin, instance.handle).find("outputs")->items[0].find("datatype")->string == "BYTES");
  std::vector<char> in = host::bytes({"one", "", std::string("a\0b", 3), std::string(1000, 'x')}), small(8), large(2000);
  for (std::vector<char> *buffer : {&small, &large}) {
    std::vector<signet_tensor> outputs = {host::room(*buffer)};
    CHECK(host::run(instance, {host::tensor(SIGNET_BYTES, {4}, in)}, outputs).status == SIGNET_OK);
    CHECK((outputs[0].owner != nullptr) == (buffer == &small));
    CHECK(outputs[0].nbytes == in.size() && std::memcmp(outputs[0].data, in.data(), in.size()) == 0);
    plugin->release(instance.handle, outputs[0].owner);
  }
  std::vector<char> nothing;
  std::vector<signet_tensor> outputs = {host::room(large)};
  CHECK(host::run(instance, {host::tensor(SIGNET_BYTES, {0}, nothing)}, outputs).status == SIGNET_OK);
  CHECK(outputs[0].nbytes == 0 && outputs[0].shape[0] == 0);
}

static void passesEveryDatatypeThrough(const signet_plugin *plugin) {
  const std::vector<std::pair<uint32_t, size_t>> types = {
      {SIGNET_BOOL, 1},  {SIGNET_UINT8, 1}, {SIGNET_UINT16, 2}, {SIGNET_UINT32, 4}, {SIGNET_UINT64, 8},
      {SIGNET_INT8, 1},  {SIGNET_INT16, 2}, {SIGNET_INT32, 4},  {SIGNET_INT64, 8},  {SIGNET_FP16, 2},
      {SIGNET_FP32, 4},  {SIGNET_FP64, 8},  {SIGNET_BF16, 2}};
  for (const auto &[type, size] : types) {
    const std::string model = onnx::identity(type, {-1, 2});
    const host::Instance instance(plugin, "{}", {file("identity.onnx", model)});
    CHECK(instance.status == SIGNET_OK);
    for (int64_t rows : {3, 0}) {
      std::vector<unsigned char> in(static_cast<size_t>(rows) * 2 * size, 1), buffer(64);
      std::vector<signet_tensor> outputs = {host::room(buffer)};
      CHECK(host::run(instance, {host::tensor(type, {rows, 2}, in)}, outputs).status == SIGNET_OK);
      CHECK(outputs[0].dtype == type && outputs[0].nbytes == in.size());
      CHECK(std::equal(in.begin(), in.end(), buffer.begin()));
    }
  }
  const std::string scalar = onnx::identity(SIGNET_INT64, {});
  const host::Instance instance(plugin, "{}", {file("scalar.onnx", scalar)});
  std::vector<int64_t> in = {42}, buffer(1);
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  CHECK(host::run(instance, {host::tensor(SIGNET_INT64, {}, in)}, outputs).status == SIGNET_OK);
  CHECK(buffer[0] == 42 && outputs[0].rank == 0);
}

static void stopsWhenAsked(const signet_plugin *plugin) {
  const std::string model = onnx::loop();
  const host::Instance instance(plugin, "{}", {file("loop.onnx", model)});
  CHECK(instance.status == SIGNET_OK);
  std::vector<int64_t> few = {3}, many = {int64_t{1} << 60};
  std::vector<float> x = {1}, y(1);
  const signet_tensor seed = host::tensor(SIGNET_FP32, {1}, x);
  std::vector<signet_tensor> outputs = {host::room(y)};
  CHECK(host::run(instance, {host::tensor(SIGNET_INT64, {}, few), seed}, outputs).status == SIGNET_OK);
  CHECK(y[0] == 8);

  const signet_tensor forEver = host::tensor(SIGNET_INT64, {}, many);
  signet_control control = {};
  std::thread canceller([&] {
    while (__atomic_load_n(&control.stage, __ATOMIC_RELAXED) != 2) std::this_thread::yield();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // into the middle of the model
    __atomic_store_n(&control.cancel, 1, __ATOMIC_RELAXED);
  });
  outputs = {host::room(y)};
  CHECK(host::run(instance, {forEver, seed}, outputs, &control).status == SIGNET_CANCELLED);
  canceller.join();

  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  signet_control late = {};
  late.deadline_ns = static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec) + 20000000u;
  outputs = {host::room(y)};
  CHECK(host::run(instance, {forEver, seed}, outputs, &late).status == SIGNET_DEADLINE_EXCEEDED);

  signet_control before = {};
  before.cancel = 1;
  CHECK(host::run(instance, {host::tensor(SIGNET_INT64, {}, few), seed}, outputs, &before).status == SIGNET_CANCELLED);

  outputs = {host::room(y)};  // and the session still works
  CHECK(host::run(instance, {host::tensor(SIGNET_INT64, {}, few), seed}, outputs).status == SIGNET_OK);
}

static void takesWeightsFromAnotherFile(const signet_plugin *plugin) {
  const std::string model = onnx::withExternalData("weights.bin");
  const float floats[4] = {10, 20, 30, 40};
  const std::string weights(reinterpret_cast<const char *>(floats), sizeof floats);
  const host::Instance instance(plugin, R"({"model": "m.onnx"})", {file("weights.bin", weights), file("m.onnx", model)});
  CHECK(instance.status == SIGNET_OK);
  if (instance.status != SIGNET_OK) return;
  std::vector<float> x = {1, 2, 3, 4}, y(4);
  std::vector<signet_tensor> outputs = {host::room(y)};
  CHECK(host::run(instance, {host::tensor(SIGNET_FP32, {4}, x)}, outputs).status == SIGNET_OK);
  CHECK((y == std::vector<float>{11, 22, 33, 44}));
  CHECK(host::Instance(plugin, "{}", {file("m.onnx", model)}).status != SIGNET_OK);
}

static void refusesWhatItCannotRun(const signet_plugin *plugin) {
  const std::string empty, noise(5000, '\xff'), text = "not a model", complex = onnx::identity(14, {1});
  const std::string unknown = onnx::model(onnx::node("NoSuchOperator", {"x"}, {"y"}) +
                                          onnx::input(onnx::value("x", 1, {1})) + onnx::output(onnx::value("y", 1, {1})));
  for (const std::string *bytes : {&empty, &noise, &text, &complex, &unknown})
    CHECK(host::Instance(plugin, "{}", {file("bad.onnx", *bytes)}).status != SIGNET_OK);
  const std::string good = onnx::identity(1, {2});
  for (size_t length = 0; length < good.size(); ++length) {
    const std::string cut = good.substr(0, length);
    host::Instance(plugin, "{}", {file("cut.onnx", cut)});  // refused or not, it must come back
  }
  CHECK(host::Instance(plugin, "{}").status == SIGNET_INVALID_ARGUMENT);
  CHECK(host::Instance(plugin, R"({"model": "other"})", {file("m", good)}).status == SIGNET_INVALID_ARGUMENT);
  CHECK(host::Instance(plugin, R"({"threads": 2})", {file("m", good)}).status == SIGNET_INVALID_ARGUMENT);
  CHECK(host::Instance(plugin, R"({"intraOpThreads": 0})", {file("m", good)}).status == SIGNET_INVALID_ARGUMENT);
  CHECK(host::Instance(plugin, "{}", {file("m", good)}, SIGNET_DEVICE_CUDA).status == SIGNET_FAILED_PRECONDITION);

  const host::Instance instance(plugin, "{}", {file("m", good)});
  std::vector<float> three(3), buffer(4);
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  CHECK(host::run(instance, {host::tensor(SIGNET_FP32, {3}, three)}, outputs).status == SIGNET_INVALID_ARGUMENT);
}

// First, because the library's environment is made once in a process.
static void refusesToReportItsUse(const signet_plugin *plugin) {
  const std::string model = onnx::identity(SIGNET_FP32, {1});
  unsetenv("ORT_DISABLE_TELEMETRY");
  CHECK(host::Instance(plugin, "{}", {file("m", model)}).status == SIGNET_FAILED_PRECONDITION);
  setenv("ORT_DISABLE_TELEMETRY", "1", 1);
  CHECK(host::Instance(plugin, "{}", {file("m", model)}).status == SIGNET_OK);
}

int main(int argc, char **argv) {
  CHECK(argc == 4);
  // Usage reports would appear under the home directory; an empty one shows that there are none.
  char home[] = "/tmp/signet-home-XXXXXX";
  CHECK(mkdtemp(home) != nullptr);
  setenv("HOME", home, 1);
  unsetenv("XDG_CACHE_HOME");

  const signet_plugin *plugin = host::load(argv[1]);
  CHECK(host::describe(plugin, nullptr).find("cancel")->string == "poll");
  refusesToReportItsUse(plugin);
  recognizesALine(plugin, argv[2]);
  runsConcurrently(plugin, argv[3]);
  keepsStringsWhole(plugin);
  passesEveryDatatypeThrough(plugin);
  stopsWhenAsked(plugin);
  takesWeightsFromAnotherFile(plugin);
  refusesWhatItCannotRun(plugin);
  CHECK(rmdir(home) == 0);  // fails unless it is empty
  return finish();
}
