#include <cstring>

#include "host.hpp"

static void copiesIntoTheCallersBuffer(const signet_plugin *plugin) {
  const host::Instance instance(plugin, R"({"datatype": "FP32", "shape": [-1, 2]})");
  CHECK(instance.status == SIGNET_OK);
  const signet::Json tensors = host::describe(plugin, instance.handle);
  CHECK(tensors.find("inputs")->items[0].find("name")->string == "input");
  CHECK(tensors.find("outputs")->items[0].find("datatype")->string == "FP32");
  CHECK(tensors.find("outputs")->items[0].find("shape")->items[0].number == -1);

  std::vector<float> data = {1, 2, 3, 4}, buffer(4);
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  CHECK(host::run(instance, {host::tensor(SIGNET_FP32, {2, 2}, data)}, outputs).status == SIGNET_OK);
  CHECK(outputs[0].owner == nullptr && outputs[0].data == buffer.data() && outputs[0].nbytes == 16);
  CHECK(outputs[0].dtype == SIGNET_FP32 && outputs[0].rank == 2 && outputs[0].shape[0] == 2);
  CHECK(buffer == data);
}

static void lendsMemoryWhenTheBufferIsTooSmall(const signet_plugin *plugin) {
  const host::Instance instance(plugin, "{}");
  std::vector<unsigned char> data = {1, 2, 3, 4, 5, 6, 7, 8}, small(7), none;
  for (std::vector<unsigned char> *buffer : {&small, &none}) {
    std::vector<signet_tensor> outputs = {host::room(*buffer)};
    CHECK(host::run(instance, {host::tensor(SIGNET_UINT8, {8}, data)}, outputs).status == SIGNET_OK);
    CHECK(outputs[0].owner != nullptr && outputs[0].nbytes == 8);
    CHECK(std::vector<unsigned char>(static_cast<unsigned char *>(outputs[0].data),
                                     static_cast<unsigned char *>(outputs[0].data) + 8) == data);
    plugin->release(instance.handle, outputs[0].owner);
  }
}

static void takesScalarsAndNothing(const signet_plugin *plugin) {
  const host::Instance scalar(plugin, R"({"datatype": "INT64", "shape": []})");
  std::vector<int64_t> one = {42}, buffer(1);
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  CHECK(host::run(scalar, {host::tensor(SIGNET_INT64, {}, one)}, outputs).status == SIGNET_OK);
  CHECK(buffer[0] == 42 && outputs[0].rank == 0);

  const host::Instance bytes(plugin, "{}");
  std::vector<unsigned char> nothing, room(4);
  outputs = {host::room(room)};
  CHECK(host::run(bytes, {host::tensor(SIGNET_UINT8, {0}, nothing)}, outputs).status == SIGNET_OK);
  CHECK(outputs[0].nbytes == 0 && outputs[0].shape[0] == 0);
}

static void refusesInputsThatDoNotFit(const signet_plugin *plugin) {
  const host::Instance instance(plugin, R"({"datatype": "FP32", "shape": [-1, 2]})");
  std::vector<float> data(4), buffer(4);
  const signet_tensor good = host::tensor(SIGNET_FP32, {2, 2}, data);
  std::vector<signet_tensor> bad(7, good);
  bad[0].dtype = SIGNET_INT32;
  bad[1].rank = 1;
  bad[2].shape[1] = 3;
  bad[3].shape[0] = -1;
  bad[4].shape[0] = int64_t{1} << 62;
  bad[5].nbytes = 15;
  bad[6].data = nullptr;
  for (const signet_tensor &input : bad) {
    std::vector<signet_tensor> outputs = {host::room(buffer)};
    CHECK(host::run(instance, {input}, outputs).status == SIGNET_INVALID_ARGUMENT);
  }
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  CHECK(host::run(instance, {good, good}, outputs).status == SIGNET_INVALID_ARGUMENT);

  const host::Instance strings(plugin, R"({"datatype": "BYTES"})");
  for (const std::vector<char> &broken :
       {std::vector<char>{1, 0, 0}, std::vector<char>{2, 0, 0, 0, 'a'}, std::vector<char>{-1, -1, -1, -1, 'a'},
        std::vector<char>{0, 0, 0, 0, 'a'}}) {
    std::vector<char> copy = broken, room(16);
    outputs = {host::room(room)};
    CHECK(host::run(strings, {host::tensor(SIGNET_BYTES, {1}, copy)}, outputs).status == SIGNET_INVALID_ARGUMENT);
  }
}

static void refusesWrongConfigurations(const signet_plugin *plugin) {
  for (const char *config : {"", "[]", "{", "{\"dtype\": \"FP32\"}", "{\"datatype\": \"FP8\"}", "{\"datatype\": 1}",
                             "{\"shape\": 3}", "{\"shape\": [-2]}", "{\"shape\": [1.5]}",
                             "{\"shape\": [1,1,1,1,1,1,1,1,1]}"})
    CHECK(host::Instance(plugin, config).status == SIGNET_INVALID_ARGUMENT);
  CHECK(host::Instance(plugin, "{}", {}, SIGNET_DEVICE_CUDA).status == SIGNET_FAILED_PRECONDITION);
}

static void honorsWhatIsLicensed(const signet_plugin *plugin) {
  std::vector<uint8_t> data = {1, 2, 3}, buffer(3);
  for (const char *entitlements : {R"({"maxBytes": 3, "other": "x"})", "{}"}) {
    const host::Instance instance(plugin, (std::string(R"({"entitlements": )") + entitlements + "}").c_str());
    std::vector<signet_tensor> outputs = {host::room(buffer)};
    CHECK(host::run(instance, {host::tensor(SIGNET_UINT8, {3}, data)}, outputs).status == SIGNET_OK);
  }
  const host::Instance small(plugin, R"({"shape": [-1], "entitlements": {"maxBytes": 2}})");
  std::vector<signet_tensor> outputs = {host::room(buffer)};
  CHECK(host::run(small, {host::tensor(SIGNET_UINT8, {3}, data)}, outputs).status == SIGNET_FAILED_PRECONDITION);
  for (const char *config : {R"({"entitlements": 1})", R"({"entitlements": {"maxBytes": "2"}})"})
    CHECK(host::Instance(plugin, config).status == SIGNET_INVALID_ARGUMENT);
}

static void cutsErrorTextsBetweenCharacters(const signet_plugin *plugin) {
  const signet_create_args args = {sizeof args, 0, 0, 0, "{\"\xc3\xa9\": 1}", nullptr};
  void *handle = nullptr;
  for (uint64_t capacity = 0; capacity < 32; ++capacity) {
    char error[32];
    std::memset(error, 'x', sizeof error);
    plugin->create(&args, &handle, error, capacity);
    for (uint64_t i = capacity; i < sizeof error; ++i) CHECK(error[i] == 'x');
    if (capacity == 0) continue;
    const std::string text = error;
    CHECK(text.size() < capacity);
    CHECK(text.empty() || text.back() != '\xc3');
  }
}

int main(int, char **argv) {
  const signet_plugin *plugin = host::load(argv[1]);
  const signet::Json facts = host::describe(plugin, nullptr);
  CHECK(facts.find("name")->string == "identity");
  CHECK(facts.find("threading")->string == "concurrent");
  CHECK(plugin->warmup == nullptr);
  copiesIntoTheCallersBuffer(plugin);
  lendsMemoryWhenTheBufferIsTooSmall(plugin);
  takesScalarsAndNothing(plugin);
  refusesInputsThatDoNotFit(plugin);
  refusesWrongConfigurations(plugin);
  honorsWhatIsLicensed(plugin);
  cutsErrorTextsBetweenCharacters(plugin);
  return finish();
}
