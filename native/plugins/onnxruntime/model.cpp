#include "model.hpp"

#include <cstdlib>
#include <cstring>
#include <mutex>

namespace ort {

const void *const *table() {
  static const void *const *const found =
      static_cast<const void *const *>(OrtGetApiBase()->getApi(apiVersion));
  if (found == nullptr)
    throw signet::Error(SIGNET_FAILED_PRECONDITION, "libonnxruntime.so.1 is " +
                                                        std::string(OrtGetApiBase()->getVersionString()) +
                                                        "; 1." + std::to_string(apiVersion) + " or newer is needed");
  return found;
}

namespace {

int32_t statusFromCode(int code) {
  switch (code) {
    case codeInvalidArgument:
    case codeNoModel:
    case codeInvalidProtobuf:
    case codeInvalidGraph:
      return SIGNET_INVALID_ARGUMENT;
    case codeNoSuchFile:
      return SIGNET_NOT_FOUND;
    case codeNotImplemented:
      return SIGNET_UNIMPLEMENTED;
    default:
      return SIGNET_INTERNAL;
  }
}

OrtAllocator *defaultAllocator() {
  OrtAllocator *allocator = nullptr;
  check(getAllocatorWithDefaultOptions(&allocator));
  return allocator;  // the library's own, never released
}

// Official builds of 1.29 and newer report usage over the network and keep a queue for it under HOME. Only the
// environment variable, seen when the library makes its OrtEnv, prevents all of it: DisableTelemetryEvents() comes
// too late. Setting it here would be a race with any thread that reads the environment, so the host must.
void verifyTelemetryIsOff() {
  const char *setting = std::getenv("ORT_DISABLE_TELEMETRY");
  if (setting == nullptr || (std::strcmp(setting, "1") != 0 && std::strcmp(setting, "true") != 0))
    throw signet::Error(SIGNET_FAILED_PRECONDITION,
                        "environment: expected ORT_DISABLE_TELEMETRY=1, without which ONNX Runtime reports its use");
}

// One environment for the life of the process: the library allows no second one with other settings.
const OrtEnv *environment() {
  static std::mutex mutex;
  static OrtEnv *shared = nullptr;
  const std::lock_guard<std::mutex> lock(mutex);
  if (shared == nullptr) {
    verifyTelemetryIsOff();
    OrtEnv *created = nullptr;
    check(createEnv(logFatal, "signet", &created));  // lesser errors come back as a status, no need to print them
    check(disableTelemetryEvents(created));
    shared = created;
  }
  return shared;
}

const OrtMemoryInfo *callerMemory() {
  static const OrtMemoryInfo *const info = [] {
    OrtMemoryInfo *created = nullptr;
    check(createCpuMemoryInfo(allocatorArena, memoryDefault, &created));
    return created;
  }();
  return info;
}

std::vector<int64_t> shapeOf(const OrtTensorInfo *info) {
  size_t rank = 0;
  check(getDimensionsCount(info, &rank));
  std::vector<int64_t> shape(rank);
  check(getDimensions(info, shape.data(), rank));
  return shape;
}

signet::TensorSpec specFrom(std::string name, const OrtTypeInfo *type) {
  const auto refuse = [&name](const std::string &what) {
    return signet::Error(SIGNET_UNIMPLEMENTED, "model: " + name + " is " + what);
  };
  int kind = 0;
  check(getKindOfTypeInfo(type, &kind));
  if (kind != kindTensor) throw refuse("not a tensor, but a sequence, map, optional or sparse tensor");
  const OrtTensorInfo *info = nullptr;  // part of `type`
  check(castTypeInfoToTensorInfo(type, &info));
  int dtype = 0;
  check(getTensorElementType(info, &dtype));
  if (signet::findDatatype(static_cast<uint32_t>(dtype)) == nullptr)
    throw refuse("of ONNX element type " + std::to_string(dtype) + ", which the inference protocol does not have");
  std::vector<int64_t> shape = shapeOf(info);
  if (shape.size() > SIGNET_MAX_RANK) throw refuse("of more than 8 dimensions");
  for (int64_t &size : shape)
    if (size < 0) size = -1;
  return {std::move(name), static_cast<uint32_t>(dtype), std::move(shape)};
}

template <class Count, class Name, class Type>
std::vector<signet::TensorSpec> specs(const OrtSession *session, Count count, Name nameOf, Type typeOf) {
  size_t total = 0;
  check(count(session, &total));
  std::vector<signet::TensorSpec> found;
  for (size_t i = 0; i < total; ++i) {
    char *name = nullptr;
    check(nameOf(session, i, defaultAllocator(), &name));
    std::string copy = name;
    check(allocatorFree(defaultAllocator(), name));
    OrtTypeInfo *type = nullptr;
    check(typeOf(session, i, &type));
    found.push_back(specFrom(std::move(copy), TypeInfo(type).get()));
  }
  return found;
}

Value stringsFromInput(const signet::Input &input) {
  OrtValue *raw = nullptr;
  check(createTensor(defaultAllocator(), input.shape(), input.rank(), SIGNET_BYTES, &raw));
  Value value(raw);
  size_t index = 0;
  for (const std::string_view element : input.strings()) {
    char *room = nullptr;  // sized to the element, so that NUL bytes survive
    check(getResizedStringElement(raw, index++, element.size(), &room));
    if (!element.empty()) std::memcpy(room, element.data(), element.size());
  }
  return value;
}

void writeStrings(signet::Output &output, const OrtValue *value, const std::vector<int64_t> &shape) {
  const auto rank = static_cast<uint32_t>(shape.size());
  const size_t count = signet::elementCount(shape.data(), rank);
  size_t total = 0;
  check(getStringTensorDataLength(value, &total));
  std::vector<char> text(total);
  std::vector<size_t> offsets(count);
  if (count > 0) check(getStringTensorContent(value, text.data(), total, offsets.data(), count));
  auto *at = static_cast<char *>(
      output.place(SIGNET_BYTES, shape.data(), rank, total + count * sizeof(uint32_t)));
  for (size_t i = 0; i < count; ++i) {
    const size_t end = i + 1 < count ? offsets[i + 1] : total;
    const auto length = static_cast<uint32_t>(end - offsets[i]);
    std::memcpy(at, &length, sizeof length);
    if (length > 0) std::memcpy(at + sizeof length, text.data() + offsets[i], length);
    at += sizeof length + length;
  }
}

struct OwnedValue : signet::Owned {
  explicit OwnedValue(Value owned) : value(std::move(owned)) {}
  Value value;
};

}  // namespace

void check(OrtStatus *status) {
  if (status == nullptr) return;
  const std::string message = getErrorMessage(status);
  const int32_t code = statusFromCode(getErrorCode(status));
  releaseStatus(status);
  throw signet::Error(code, message);
}

Session openSession(const ModelFile &model, const std::vector<ModelFile> &externalData, const ModelOptions &options) {
  OrtSessionOptions *rawOptions = nullptr;
  check(createSessionOptions(&rawOptions));
  const SessionOptions sessionOptions(rawOptions);
  check(setIntraOpNumThreads(rawOptions, options.intraOpThreads));
  check(setInterOpNumThreads(rawOptions, options.interOpThreads));
  if (!externalData.empty()) {
    std::vector<const char *> names;
    std::vector<char *> data;
    std::vector<size_t> lengths;
    for (const ModelFile &file : externalData) {
      names.push_back(file.name);
      data.push_back(static_cast<char *>(const_cast<void *>(file.data)));  // only read, whatever the signature says
      lengths.push_back(file.nbytes);
    }
    check(addExternalInitializersFromFiles(rawOptions, names.data(), data.data(), lengths.data(), names.size()));
  }
  OrtSession *session = nullptr;
  check(createSessionFromArray(environment(), model.data, model.nbytes, rawOptions, &session));
  return Session(session);
}

std::vector<signet::TensorSpec> inputSpecs(const OrtSession *session) {
  return specs(session, sessionGetInputCount, sessionGetInputName, sessionGetInputTypeInfo);
}

std::vector<signet::TensorSpec> outputSpecs(const OrtSession *session) {
  return specs(session, sessionGetOutputCount, sessionGetOutputName, sessionGetOutputTypeInfo);
}

Value valueFromInput(const signet::Input &input) {
  if (input.dtype() == SIGNET_BYTES) return stringsFromInput(input);
  static char nothing[8];  // an empty tensor still needs an address
  void *data = input.nbytes() > 0 ? const_cast<void *>(input.bytes()) : nothing;
  OrtValue *value = nullptr;
  check(createTensorWithData(callerMemory(), data, input.nbytes(), input.shape(), input.rank(),
                             static_cast<int>(input.dtype()), &value));
  return Value(value);
}

void writeOutput(signet::Output output, Value value) {
  OrtTensorInfo *rawInfo = nullptr;
  check(getTensorTypeAndShape(value.get(), &rawInfo));
  const TensorInfo info(rawInfo);
  int dtype = 0;
  check(getTensorElementType(rawInfo, &dtype));
  const std::vector<int64_t> shape = shapeOf(rawInfo);
  if (dtype == SIGNET_BYTES) return writeStrings(output, value.get(), shape);
  void *data = nullptr;
  check(getTensorMutableData(value.get(), &data));
  const signet::Datatype *datatype = signet::findDatatype(static_cast<uint32_t>(dtype));
  if (datatype == nullptr) throw signet::Error(SIGNET_INTERNAL, "model: an output has an unknown element type");
  const auto rank = static_cast<uint32_t>(shape.size());
  const uint64_t nbytes = signet::elementCount(shape.data(), rank) * datatype->bytes;
  output.lend(datatype->dtype, shape.data(), rank, data, nbytes, std::make_unique<OwnedValue>(std::move(value)));
}

}  // namespace ort
