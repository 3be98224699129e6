// An ONNX model opened in ONNX Runtime: its session, and tensors in and out of it.
#ifndef SIGNET_ONNXRUNTIME_MODEL_HPP
#define SIGNET_ONNXRUNTIME_MODEL_HPP

#include <signet/tensor.hpp>

#include <memory>
#include <string>
#include <vector>

#include "ort.h"

namespace ort {

// Throws signet::Error with the library's words unless `status` is nullptr; releases it.
void check(OrtStatus *status);

template <auto &release>
struct Releaser {
  template <class T>
  void operator()(T *object) const {
    release(object);
  }
};

using Session = std::unique_ptr<OrtSession, Releaser<releaseSession>>;
using SessionOptions = std::unique_ptr<OrtSessionOptions, Releaser<releaseSessionOptions>>;
using RunOptions = std::unique_ptr<OrtRunOptions, Releaser<releaseRunOptions>>;
using Value = std::unique_ptr<OrtValue, Releaser<releaseValue>>;
using TypeInfo = std::unique_ptr<OrtTypeInfo, Releaser<releaseTypeInfo>>;
using TensorInfo = std::unique_ptr<OrtTensorInfo, Releaser<releaseTensorInfo>>;

struct ModelOptions {
  int intraOpThreads = 1;
  int interOpThreads = 1;
};

struct ModelFile {
  const char *name;
  const void *data;
  size_t nbytes;
};

// Opens a model from its bytes, which must stay. `externalData` are the weight files it names, if any.
Session openSession(const ModelFile &model, const std::vector<ModelFile> &externalData, const ModelOptions &options);

// Throws UNIMPLEMENTED for anything but tensors of a datatype and rank that the plugin ABI has.
std::vector<signet::TensorSpec> inputSpecs(const OrtSession *session);
std::vector<signet::TensorSpec> outputSpecs(const OrtSession *session);

// A value on the input's own memory; only BYTES are copied.
Value valueFromInput(const signet::Input &input);

// Puts a result into the caller's buffer, or lends the value's own memory.
void writeOutput(signet::Output output, Value value);

}  // namespace ort

#endif
