// The smallest whole plugin: one input, copied to one output. Read it beside native/README.md.
#include <signet/plugin.hpp>

namespace {

class Identity {
 public:
  static signet::Facts facts() {
    signet::Facts facts;
    facts.name = "identity";
    facts.version = "1.0.0";
    facts.vendor = "Signet";
    facts.description = "Gives back what it is given.";
    facts.concurrent = true;  // run() touches nothing but its arguments
    facts.config = {{"datatype", "Datatype of input and output; UINT8 unless set."},
                    {"shape", "Shape of input and output, -1 for any size; [-1] unless set."}};
    return facts;
  }

  // Everything that can go wrong with a configuration goes wrong here, when the service starts, not in a job.
  explicit Identity(const signet::CreateArgs &args) {
    args.onlyKeys({"datatype", "shape"});
    if (args.deviceType != SIGNET_DEVICE_CPU)
      throw signet::Error(SIGNET_FAILED_PRECONDITION, "identity runs on the cpu only");
    if (const signet::Json *name = args.config.find("datatype")) {
      const signet::Datatype *datatype = signet::findDatatype(name->asString("config.datatype"));
      if (datatype == nullptr) throw std::invalid_argument("config.datatype: unknown datatype " + name->string);
      dtype_ = datatype->dtype;
    }
    if (const signet::Json *shape = args.config.find("shape")) {
      shape_.clear();
      for (const signet::Json &size : shape->asArray("config.shape"))
        shape_.push_back(size.asInteger("config.shape", -1, int64_t{1} << 40));
      if (shape_.size() > SIGNET_MAX_RANK) throw std::invalid_argument("config.shape: more than 8 dimensions");
    }
    // What the license grants: here, how large an input may be. Without it, any size.
    if (const signet::Json *most = args.entitlements.find("maxBytes"))
      maxBytes_ = static_cast<uint64_t>(most->asInteger("entitlements.maxBytes", 1, int64_t{1} << 40));
  }

  std::vector<signet::TensorSpec> inputs() const { return {{"input", dtype_, shape_}}; }
  std::vector<signet::TensorSpec> outputs() const { return {{"output", dtype_, shape_}}; }

  void run(const signet::Inputs &inputs, signet::Outputs &outputs, signet::Control &) {
    const signet::Input input = inputs[0];
    if (input.nbytes() > maxBytes_)
      throw signet::Error(SIGNET_FAILED_PRECONDITION, "the input has " + std::to_string(input.nbytes()) +
                                                          " bytes, licensed are " + std::to_string(maxBytes_));
    // place() gives the caller's own buffer whenever the result fits, so this is the only copy.
    void *result = outputs[0].place(input.dtype(), input.shape(), input.rank(), input.nbytes());
    if (input.nbytes() > 0) std::memcpy(result, input.bytes(), input.nbytes());
  }

 private:
  uint32_t dtype_ = SIGNET_UINT8;
  std::vector<int64_t> shape_ = {-1};
  uint64_t maxBytes_ = UINT64_MAX;
};

}  // namespace

SIGNET_PLUGIN(Identity)
