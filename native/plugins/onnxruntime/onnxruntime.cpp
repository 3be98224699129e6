// Runs any ONNX model through ONNX Runtime, on the CPU.
#include <signet/plugin.hpp>

#include "model.hpp"
#include "stop-watch.hpp"

namespace {

// What control->stage says while a call runs.
constexpr uint32_t stageInputs = 1;
constexpr uint32_t stageModel = 2;
constexpr uint32_t stageOutputs = 3;

class OnnxRuntime {
 public:
  static signet::Facts facts() {
    signet::Facts facts;
    facts.name = "onnxruntime";
    facts.version = "1.0.0";
    facts.vendor = "Signet";
    facts.description = "Runs an ONNX model through ONNX Runtime on the CPU.";
    facts.concurrent = true;
    facts.cancellable = true;
    facts.files = "One ONNX model, and the external data files it names, if any.";
    facts.config = {{"model", "Name of the file that is the model; the first one unless set."},
                    {"intraOpThreads", "Threads one call may use within an operator, 1 to 256; 1 unless set."},
                    {"interOpThreads", "Threads one call may use across operators, 1 to 256; 1 unless set."}};
    return facts;
  }

  explicit OnnxRuntime(const signet::CreateArgs &args) {
    args.onlyKeys({"model", "intraOpThreads", "interOpThreads"});
    if (args.deviceType != SIGNET_DEVICE_CPU)
      throw signet::Error(SIGNET_FAILED_PRECONDITION, "this build of the onnxruntime plugin runs on the cpu only");
    ort::ModelOptions options;
    options.intraOpThreads = threads(args, "intraOpThreads");
    options.interOpThreads = threads(args, "interOpThreads");

    const size_t modelIndex = findModel(args);
    std::vector<ort::ModelFile> externalData;
    for (size_t i = 0; i < args.files.size(); ++i)
      if (i != modelIndex) externalData.push_back({args.files[i].name, args.files[i].data, args.files[i].nbytes});
    const signet_file &model = args.files[modelIndex];
    session_ = ort::openSession({model.name, model.data, model.nbytes}, externalData, options);

    inputs_ = ort::inputSpecs(session_.get());
    outputs_ = ort::outputSpecs(session_.get());
    for (const signet::TensorSpec &spec : inputs_) inputNames_.push_back(spec.name.c_str());
    for (const signet::TensorSpec &spec : outputs_) outputNames_.push_back(spec.name.c_str());
  }

  std::vector<signet::TensorSpec> inputs() const { return inputs_; }
  std::vector<signet::TensorSpec> outputs() const { return outputs_; }

  // ONNX Runtime tells nothing of how far it is, so there is no progress and the heartbeat marks the three stages.
  void run(const signet::Inputs &inputs, signet::Outputs &outputs, signet::Control &control) {
    control.throwIfStopped();
    enter(control, stageInputs);
    std::vector<ort::Value> values;
    std::vector<const OrtValue *> arguments;
    for (uint32_t i = 0; i < inputs.size(); ++i) {
      values.push_back(ort::valueFromInput(inputs[i]));
      arguments.push_back(values.back().get());
    }

    enter(control, stageModel);
    std::vector<ort::Value> results = runModel(arguments, control);

    enter(control, stageOutputs);
    for (uint32_t i = 0; i < outputs.size(); ++i) ort::writeOutput(outputs[i], std::move(results[i]));
  }

 private:
  static int threads(const signet::CreateArgs &args, const char *key) {
    const signet::Json *value = args.config.find(key);
    return value == nullptr ? 1 : static_cast<int>(value->asInteger(std::string("config.") + key, 1, 256));
  }

  static size_t findModel(const signet::CreateArgs &args) {
    if (args.files.empty()) throw std::invalid_argument("files: expected an ONNX model, got none");
    const signet::Json *named = args.config.find("model");
    if (named == nullptr) return 0;
    const std::string &name = named->asString("config.model");
    for (size_t i = 0; i < args.files.size(); ++i)
      if (name == args.files[i].name) return i;
    throw std::invalid_argument("config.model: no file is named " + signet::quoteJson(name));
  }

  static void enter(signet::Control &control, uint32_t stage) {
    control.stage(stage);
    control.beat();
  }

  std::vector<ort::Value> runModel(const std::vector<const OrtValue *> &arguments, signet::Control &control) {
    OrtRunOptions *rawOptions = nullptr;
    ort::check(ort::createRunOptions(&rawOptions));
    const ort::RunOptions options(rawOptions);
    std::vector<OrtValue *> raw(outputs_.size(), nullptr);
    OrtStatus *status = nullptr;
    {
      const ort::StopWatch::Guard guard(stopWatch_, control, rawOptions);
      status = ort::run(session_.get(), rawOptions, inputNames_.data(), arguments.data(), arguments.size(),
                        outputNames_.data(), outputNames_.size(), raw.data());
    }
    std::vector<ort::Value> results;
    for (OrtValue *value : raw) results.emplace_back(value);
    if (status != nullptr && control.stopReason() != SIGNET_OK) {
      ort::releaseStatus(status);
      control.throwIfStopped();
    }
    ort::check(status);
    return results;
  }

  ort::Session session_;
  std::vector<signet::TensorSpec> inputs_;
  std::vector<signet::TensorSpec> outputs_;
  std::vector<const char *> inputNames_;  // into inputs_
  std::vector<const char *> outputNames_;
  ort::StopWatch stopWatch_;
};

}  // namespace

SIGNET_PLUGIN(OnnxRuntime)
