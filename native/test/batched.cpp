// For tests and measurements only: a model whose runs cost the same for one item as for many, as on a GPU. It gives back
// what it is given, and tells each item how many were run together.
#include <signet/plugin.hpp>

#include <chrono>
#include <cstdlib>
#include <cstring>

namespace {

using Clock = std::chrono::steady_clock;

// What an item with such a first byte does to its run, where the configuration says "misbehave".
enum Mischief : unsigned char { WAIT = 252, LOSE = 253, CRASH = 254, FAIL = 255 };

class Batched {
 public:
  static signet::Facts facts() {
    signet::Facts facts;
    facts.name = "batched";
    facts.version = "1.0.0";
    facts.vendor = "Signet";
    facts.description = "Runs many items as fast as one, for tests.";
    facts.concurrent = true;
    facts.cancellable = true;
    facts.config = {{"costUs", "How long each run computes, in microseconds; 0 unless set."},
                    {"itemBytes", "Bytes of an item; any number unless set."},
                    {"misbehave", "Whether items of some first bytes wait, get lost, crash or fail."}};
    return facts;
  }

  explicit Batched(const signet::CreateArgs &args) {
    args.onlyKeys({"costUs", "itemBytes", "misbehave"});
    if (const signet::Json *cost = args.config.find("costUs"))
      cost_ = std::chrono::microseconds(cost->asInteger("config.costUs", 0, 60'000'000));
    if (const signet::Json *bytes = args.config.find("itemBytes"))
      itemBytes_ = bytes->asInteger("config.itemBytes", 1, int64_t{1} << 30);
    if (const signet::Json *misbehave = args.config.find("misbehave")) misbehave_ = misbehave->asBool("config.misbehave");
  }

  std::vector<signet::TensorSpec> inputs() const { return {{"input", SIGNET_UINT8, {-1, itemBytes_}}}; }
  std::vector<signet::TensorSpec> outputs() const {
    return {{"output", SIGNET_UINT8, {-1, itemBytes_}}, {"together", SIGNET_INT64, {-1}}};
  }

  void run(const signet::Inputs &inputs, signet::Outputs &outputs, signet::Control &control) {
    const Clock::time_point end = Clock::now() + cost_;
    const signet::Input input = inputs[0];
    const int64_t items = input.shape()[0];
    const int64_t lost = misbehave_ ? misbehave(input, control) : 0;

    const int64_t shape[] = {items - lost, input.shape()[1]};
    const auto bytes = static_cast<uint64_t>(shape[0] * shape[1]);
    void *copy = outputs[0].place(SIGNET_UINT8, shape, 2, bytes);
    if (bytes > 0) std::memcpy(copy, input.bytes(), bytes);
    int64_t *together = outputs[1].place<int64_t>(SIGNET_INT64, {items - lost});
    for (int64_t item = 0; item < items - lost; ++item) together[item] = items;
    while (Clock::now() < end) continue;  // computes, and does not sleep
  }

 private:
  // How many items get lost.
  static int64_t misbehave(const signet::Input &input, signet::Control &control) {
    int64_t lost = 0;
    for (int64_t item = 0; item < input.shape()[0]; ++item) {
      switch (input.data<unsigned char>()[item * input.shape()[1]]) {
        case FAIL: throw signet::Error(SIGNET_INVALID_ARGUMENT, "failed, as an item asked for");
        case CRASH: std::abort();
        case LOSE: ++lost; break;
        case WAIT: for (;;) control.throwIfStopped();
        default: break;
      }
    }
    return lost;
  }

  std::chrono::microseconds cost_{0};
  int64_t itemBytes_ = -1;
  bool misbehave_ = false;
};

}  // namespace

SIGNET_PLUGIN(Batched)
