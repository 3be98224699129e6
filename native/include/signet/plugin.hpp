// Writing a plugin in C++17: a class and one line.
//
//   class Doubler {
//    public:
//     static signet::Facts facts();                          // what describe(NULL) says
//     explicit Doubler(const signet::CreateArgs &);          // create(); throw to refuse
//     std::vector<signet::TensorSpec> inputs() const;        // what describe(instance) says
//     std::vector<signet::TensorSpec> outputs() const;
//     void run(const signet::Inputs &, signet::Outputs &, signet::Control &);
//     void warmup(signet::Control &);                        // optional
//   };
//   SIGNET_PLUGIN(Doubler)
//
// Exceptions become status codes and text: signet::Error carries its own code, std::invalid_argument is
// INVALID_ARGUMENT, std::bad_alloc is RESOURCE_EXHAUSTED, anything else INTERNAL. Inputs are checked against
// inputs() before run() sees them. Memory given away with an output is taken back when run() fails.
#ifndef SIGNET_PLUGIN_HPP
#define SIGNET_PLUGIN_HPP

#include <signet/json.hpp>
#include <signet/plugin.h>
#include <signet/tensor.hpp>
#include <time.h>

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>

static_assert(sizeof(void *) == 8 && sizeof(signet_tensor) == 104 && offsetof(signet_tensor, data) == 72);
static_assert(sizeof(signet_file) == 24 && sizeof(signet_control) == 64 && sizeof(signet_create_args) == 32);
static_assert(sizeof(signet_plugin) == 56 && offsetof(signet_plugin, warmup) == 48);

namespace signet {

// What describe(NULL) tells about the plugin; see plugin.h for the meaning of each.
struct Facts {
  std::string name;
  std::string version;
  std::string vendor;
  std::string description;
  bool concurrent = false;
  bool cancellable = false;
  bool progress = false;
  std::vector<std::string> devices = {"cpu"};
  std::string files = "none";
  std::vector<std::pair<std::string, std::string>> config;  // key, one sentence
};

// The shared words of a running call.
class Control {
 public:
  explicit Control(signet_control *raw) : raw_(raw) {}

  bool cancelled() const { return __atomic_load_n(&raw_->cancel, __ATOMIC_RELAXED) != 0; }

  bool expired() const {
    const uint64_t deadline = __atomic_load_n(&raw_->deadline_ns, __ATOMIC_RELAXED);
    return deadline != 0 && nowNs() >= deadline;
  }

  // SIGNET_OK while the call should go on.
  int32_t stopReason() const {
    return cancelled() ? SIGNET_CANCELLED : expired() ? SIGNET_DEADLINE_EXCEEDED : SIGNET_OK;
  }

  // Call it every few milliseconds in a loop of your own.
  void throwIfStopped() const {
    const int32_t reason = stopReason();
    if (reason == SIGNET_CANCELLED) throw Error(reason, "the job was cancelled");
    if (reason == SIGNET_DEADLINE_EXCEEDED) throw Error(reason, "the job's deadline passed");
  }

  void progress(uint32_t permille) { __atomic_store_n(&raw_->progress_permille, permille, __ATOMIC_RELAXED); }
  void stage(uint32_t number) { __atomic_store_n(&raw_->stage, number, __ATOMIC_RELAXED); }
  void beat() { __atomic_fetch_add(&raw_->heartbeat, 1, __ATOMIC_RELAXED); }

 private:
  static uint64_t nowNs() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return static_cast<uint64_t>(now.tv_sec) * 1000000000u + static_cast<uint64_t>(now.tv_nsec);
  }

  signet_control *raw_;
};

// What create() is given. `config` is parsed; refuse keys you do not know with onlyKeys(). `entitlements` is an object
// of true, false, whole numbers and strings: what the license grants beside the service itself. It is empty where
// nothing is granted, and never part of `config` here. What is absent was not sold, so refuse rather than guess:
//
//   const signet::Json *most = args.entitlements.find("maxPixels");
//   if (most != nullptr) maxPixels_ = most->asInteger("entitlements.maxPixels", 1, 1 << 30);
struct CreateArgs {
  uint32_t deviceType;
  int32_t deviceIndex;
  Json config;
  Json entitlements;
  std::vector<signet_file> files;

  void onlyKeys(std::initializer_list<const char *> known) const {
    for (const auto &member : config.members) {
      bool found = false;
      for (const char *key : known) found = found || member.first == key;
      if (!found) throw std::invalid_argument("config: unknown key " + quoteJson(member.first));
    }
  }
};

namespace detail {

inline void copyText(const char *text, char *into, uint64_t capacity) {
  if (into == nullptr || capacity == 0) return;
  uint64_t length = 0;
  while (length + 1 < capacity && text[length] != '\0') ++length;
  if (text[length] != '\0')  // do not cut a UTF-8 sequence in two
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0) == 0x80) --length;
  for (uint64_t i = 0; i < length; ++i) into[i] = text[i];
  into[length] = '\0';
}

// Takes the reserved key out of a configuration; an empty object where it is not there.
inline Json takeEntitlements(Json &config) {
  Json taken;
  taken.kind = Json::Kind::object;
  for (auto member = config.members.begin(); member != config.members.end(); ++member) {
    if (member->first != SIGNET_ENTITLEMENTS_KEY) continue;
    taken = std::move(member->second);
    config.members.erase(member);
    break;
  }
  if (taken.kind != Json::Kind::object) throw std::invalid_argument("entitlements: expected a JSON object");
  return taken;
}

// Runs `body` and turns what it throws into a status and a text.
template <class Body>
int32_t guard(char *error, uint64_t capacity, Body body) noexcept {
  copyText("", error, capacity);
  try {
    return body();
  } catch (const Error &failure) {
    copyText(failure.what(), error, capacity);
    return failure.code == SIGNET_OK ? SIGNET_INTERNAL : failure.code;
  } catch (const std::invalid_argument &failure) {
    copyText(failure.what(), error, capacity);
    return SIGNET_INVALID_ARGUMENT;
  } catch (const std::bad_alloc &) {
    copyText("out of memory", error, capacity);
    return SIGNET_RESOURCE_EXHAUSTED;
  } catch (const std::exception &failure) {
    copyText(failure.what(), error, capacity);
    return SIGNET_INTERNAL;
  } catch (...) {
    copyText("an exception that is not a std::exception", error, capacity);
    return SIGNET_INTERNAL;
  }
}

template <class Items, class Write>
std::string joinJson(const Items &items, Write write) {
  std::string text;
  for (const auto &item : items) text += (text.empty() ? "" : ",") + write(item);
  return text;
}

inline std::string jsonFromFacts(const Facts &facts) {
  return "{\"name\":" + quoteJson(facts.name) + ",\"version\":" + quoteJson(facts.version) +
         ",\"vendor\":" + quoteJson(facts.vendor) + ",\"description\":" + quoteJson(facts.description) +
         ",\"threading\":" + (facts.concurrent ? "\"concurrent\"" : "\"single\"") +
         ",\"cancel\":" + (facts.cancellable ? "\"poll\"" : "\"none\"") +
         ",\"progress\":" + (facts.progress ? "true" : "false") + ",\"devices\":[" +
         joinJson(facts.devices, quoteJson) + "],\"files\":" + quoteJson(facts.files) + ",\"config\":{" +
         joinJson(facts.config,
                  [](const auto &entry) { return quoteJson(entry.first) + ":" + quoteJson(entry.second); }) +
         "}}";
}

inline std::string jsonFromSpecs(const std::vector<TensorSpec> &specs) {
  return joinJson(specs, [](const TensorSpec &spec) {
    return "{\"name\":" + quoteJson(spec.name) + ",\"datatype\":\"" + datatypeName(spec.dtype) + "\",\"shape\":[" +
           joinJson(spec.shape, [](int64_t size) { return std::to_string(size); }) + "]}";
  });
}

template <class Plugin, class = void>
struct HasWarmup : std::false_type {};
template <class Plugin>
struct HasWarmup<Plugin, std::void_t<decltype(std::declval<Plugin &>().warmup(std::declval<Control &>()))>>
    : std::true_type {};

// One live plugin object with what describe(instance) said of it.
template <class Plugin>
struct Instance {
  explicit Instance(const CreateArgs &args) : plugin(args), inputs(plugin.inputs()), outputs(plugin.outputs()) {}
  Plugin plugin;
  const std::vector<TensorSpec> inputs;
  const std::vector<TensorSpec> outputs;
};

template <class Plugin>
struct Table {
  using Self = Instance<Plugin>;

  static int32_t describe(void *instance, char *json, uint64_t capacity, uint64_t *length, char *error,
                          uint64_t errorCapacity) noexcept {
    return guard(error, errorCapacity, [&] {
      std::string text;
      if (instance == nullptr) {
        text = jsonFromFacts(Plugin::facts());
      } else {
        const auto &self = *static_cast<const Self *>(instance);
        text = "{\"inputs\":[" + jsonFromSpecs(self.inputs) + "],\"outputs\":[" + jsonFromSpecs(self.outputs) + "]}";
      }
      *length = text.size();
      if (capacity < text.size()) return SIGNET_OUT_OF_RANGE;
      text.copy(json, text.size());
      return SIGNET_OK;
    });
  }

  static int32_t create(const signet_create_args *args, void **instance, char *error,
                        uint64_t errorCapacity) noexcept {
    *instance = nullptr;
    return guard(error, errorCapacity, [&] {
      if (args->struct_size < sizeof(signet_create_args)) throw std::invalid_argument("create: the struct is too short");
      CreateArgs parsed{args->device_type, args->device_index, parseJson(args->config_json), {}, {}};
      if (parsed.config.kind != Json::Kind::object) throw std::invalid_argument("config: expected a JSON object");
      parsed.entitlements = takeEntitlements(parsed.config);
      parsed.files.assign(args->files, args->files + args->file_count);
      *instance = new Self(parsed);
      return SIGNET_OK;
    });
  }

  static int32_t run(void *instance, const signet_tensor *inputs, uint32_t inputCount, signet_tensor *outputs,
                     uint32_t outputCount, signet_control *control, char *error, uint64_t errorCapacity) noexcept {
    auto &self = *static_cast<Self *>(instance);
    for (uint32_t i = 0; i < outputCount; ++i) {
      outputs[i].owner = nullptr;
      outputs[i].dtype = 0;  // so that an output run() forgot is noticed
    }
    const int32_t status = guard(error, errorCapacity, [&] {
      if (inputCount != self.inputs.size() || outputCount != self.outputs.size())
        throw std::invalid_argument("run: expected " + std::to_string(self.inputs.size()) + " inputs and " +
                                    std::to_string(self.outputs.size()) + " outputs");
      for (uint32_t i = 0; i < inputCount; ++i) verifyTensor(inputs[i], self.inputs[i]);
      Control shared(control);
      Outputs results(outputs, outputCount);
      self.plugin.run(Inputs(inputs, inputCount), results, shared);
      for (uint32_t i = 0; i < outputCount; ++i)
        if (outputs[i].dtype == 0) throw Error(SIGNET_INTERNAL, "output " + self.outputs[i].name + " was not set");
      return SIGNET_OK;
    });
    if (status != SIGNET_OK)
      for (uint32_t i = 0; i < outputCount; ++i) {
        release(instance, outputs[i].owner);
        outputs[i].owner = nullptr;
      }
    return status;
  }

  static void release(void *, void *owner) noexcept { delete static_cast<Owned *>(owner); }

  static void destroy(void *instance) noexcept { delete static_cast<Self *>(instance); }

  static int32_t warmup(void *instance, signet_control *control, char *error, uint64_t errorCapacity) noexcept {
    return guard(error, errorCapacity, [&] {
      if constexpr (HasWarmup<Plugin>::value) {
        Control shared(control);
        static_cast<Self *>(instance)->plugin.warmup(shared);
      }
      return SIGNET_OK;
    });
  }

  static constexpr signet_plugin value = {
      SIGNET_ABI_VERSION, sizeof(signet_plugin), describe, create, run, release, destroy,
      HasWarmup<Plugin>::value ? warmup : nullptr};
};

}  // namespace detail
}  // namespace signet

#define SIGNET_PLUGIN(Plugin) \
  SIGNET_EXPORT const signet_plugin *signet_plugin_v1(void) noexcept { return &signet::detail::Table<Plugin>::value; }

#endif
