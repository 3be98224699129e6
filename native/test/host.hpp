// A host in a few lines: loads a plugin and calls it the way the service host does.
#ifndef SIGNET_TEST_HOST_HPP
#define SIGNET_TEST_HOST_HPP

#include <dlfcn.h>
#include <signet/json.hpp>
#include <signet/plugin.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"

namespace host {

inline const signet_plugin *load(const char *path) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::exit(1);
  }
  using Entry = const signet_plugin *(*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "signet_plugin_v1"));
  if (entry == nullptr || entry()->abi_version != SIGNET_ABI_VERSION ||
      entry()->struct_size < sizeof(signet_plugin)) {
    std::fprintf(stderr, "%s: not a plugin of this ABI\n", path);
    std::exit(1);
  }
  return entry();
}

// What describe() says, asked for with a buffer that is at first too small.
inline signet::Json describe(const signet_plugin *plugin, void *instance) {
  uint64_t length = 0;
  char error[256];
  CHECK(plugin->describe(instance, nullptr, 0, &length, error, sizeof error) == SIGNET_OUT_OF_RANGE);
  std::string text(length, '\0');
  CHECK(plugin->describe(instance, text.data(), length, &length, error, sizeof error) == SIGNET_OK);
  CHECK(length == text.size());
  return signet::parseJson(text.c_str());
}

struct Instance {
  const signet_plugin *plugin;
  void *handle = nullptr;
  int32_t status;
  char error[256];

  Instance(const signet_plugin *table, const char *config, const std::vector<signet_file> &files = {},
           uint32_t device = SIGNET_DEVICE_CPU)
      : plugin(table) {
    const signet_create_args args = {sizeof args, device, 0, static_cast<uint32_t>(files.size()), config, files.data()};
    status = plugin->create(&args, &handle, error, sizeof error);
    CHECK((status == SIGNET_OK) == (handle != nullptr));
    CHECK((status == SIGNET_OK) == (error[0] == '\0'));
  }
  ~Instance() {
    if (handle != nullptr) plugin->destroy(handle);
  }
  Instance(const Instance &) = delete;
  Instance &operator=(const Instance &) = delete;
};

template <class T>
signet_tensor tensor(uint32_t dtype, const std::vector<int64_t> &shape, std::vector<T> &data) {
  signet_tensor made = {};
  made.dtype = dtype;
  made.rank = static_cast<uint32_t>(shape.size());
  for (size_t i = 0; i < shape.size(); ++i) made.shape[i] = shape[i];
  made.data = data.data();
  made.nbytes = data.size() * sizeof(T);
  made.name = "";
  return made;
}

// A buffer for a result, before anything is known of it.
template <class T>
signet_tensor room(std::vector<T> &buffer) {
  signet_tensor made = {};
  made.data = buffer.empty() ? nullptr : buffer.data();
  made.nbytes = buffer.size() * sizeof(T);
  made.name = "";
  return made;
}

// The elements of a BYTES tensor, each behind its length.
inline std::vector<char> bytes(const std::vector<std::string> &elements) {
  std::vector<char> packed;
  for (const std::string &element : elements) {
    const auto length = static_cast<uint32_t>(element.size());
    const auto *prefix = reinterpret_cast<const char *>(&length);
    packed.insert(packed.end(), prefix, prefix + sizeof length);
    packed.insert(packed.end(), element.begin(), element.end());
  }
  return packed;
}

struct Outcome {
  int32_t status;
  std::string error;
};

inline Outcome run(const Instance &instance, const std::vector<signet_tensor> &inputs,
                   std::vector<signet_tensor> &outputs, signet_control *control = nullptr) {
  signet_control none = {};
  char error[256];
  const int32_t status = instance.plugin->run(
      instance.handle, inputs.data(), static_cast<uint32_t>(inputs.size()), outputs.data(),
      static_cast<uint32_t>(outputs.size()), control != nullptr ? control : &none, error, sizeof error);
  if (status != SIGNET_OK)
    for (const signet_tensor &output : outputs) CHECK(output.owner == nullptr);
  return {status, error};
}

}  // namespace host

#endif
