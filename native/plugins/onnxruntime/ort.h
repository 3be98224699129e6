// The part of ONNX Runtime's C API that this plugin uses. The API is one table of function pointers that only
// ever grows at its end, so a position in it is as stable as a name. Positions and signatures are facts of the
// library's public interface; the tests prove them by running real models through each.
#ifndef SIGNET_ONNXRUNTIME_ORT_H
#define SIGNET_ONNXRUNTIME_ORT_H

#include <cstddef>
#include <cstdint>

struct OrtEnv;
struct OrtStatus;
struct OrtSession;
struct OrtSessionOptions;
struct OrtRunOptions;
struct OrtValue;
struct OrtMemoryInfo;
struct OrtTypeInfo;
struct OrtTensorInfo;
struct OrtAllocator;

extern "C" {
struct OrtApiBase {
  const void *(*getApi)(uint32_t version);  // nullptr when the library is older than `version`
  const char *(*getVersionString)();
};
const OrtApiBase *OrtGetApiBase(void) noexcept;
}

namespace ort {

// The first API version in which every entry below exists (AddExternalInitializersFromFilesInMemory is the newest).
inline constexpr uint32_t apiVersion = 18;

inline constexpr int logFatal = 4;
inline constexpr int allocatorArena = 1;
inline constexpr int memoryDefault = 0;
inline constexpr int kindTensor = 1;

// Error codes of a status.
inline constexpr int codeInvalidArgument = 2;
inline constexpr int codeNoSuchFile = 3;
inline constexpr int codeNoModel = 4;
inline constexpr int codeInvalidProtobuf = 7;
inline constexpr int codeNotImplemented = 9;
inline constexpr int codeInvalidGraph = 10;

// The table of the loaded library. Throws signet::Error when the library is too old.
const void *const *table();

template <std::size_t Position, class Signature>
struct Entry;

template <std::size_t Position, class Result, class... Arguments>
struct Entry<Position, Result(Arguments...)> {
  Result operator()(Arguments... arguments) const {
    return reinterpret_cast<Result (*)(Arguments...)>(const_cast<void *>(table()[Position]))(arguments...);
  }
};

// A function that can fail returns a status to release, or nullptr.
template <std::size_t Position, class... Arguments>
using Call = Entry<Position, OrtStatus *(Arguments...)>;
template <std::size_t Position, class T>
using Release = Entry<Position, void(T *)>;

inline constexpr Entry<1, int(const OrtStatus *)> getErrorCode{};
inline constexpr Entry<2, const char *(const OrtStatus *)> getErrorMessage{};
inline constexpr Call<3, int, const char *, OrtEnv **> createEnv{};
inline constexpr Call<6, const OrtEnv *> disableTelemetryEvents{};
inline constexpr Call<8, const OrtEnv *, const void *, size_t, const OrtSessionOptions *, OrtSession **>
    createSessionFromArray{};
inline constexpr Call<9, OrtSession *, const OrtRunOptions *, const char *const *, const OrtValue *const *, size_t,
                      const char *const *, size_t, OrtValue **>
    run{};
inline constexpr Call<10, OrtSessionOptions **> createSessionOptions{};
inline constexpr Call<24, OrtSessionOptions *, int> setIntraOpNumThreads{};
inline constexpr Call<25, OrtSessionOptions *, int> setInterOpNumThreads{};
inline constexpr Call<30, const OrtSession *, size_t *> sessionGetInputCount{};
inline constexpr Call<31, const OrtSession *, size_t *> sessionGetOutputCount{};
inline constexpr Call<33, const OrtSession *, size_t, OrtTypeInfo **> sessionGetInputTypeInfo{};
inline constexpr Call<34, const OrtSession *, size_t, OrtTypeInfo **> sessionGetOutputTypeInfo{};
inline constexpr Call<36, const OrtSession *, size_t, OrtAllocator *, char **> sessionGetInputName{};
inline constexpr Call<37, const OrtSession *, size_t, OrtAllocator *, char **> sessionGetOutputName{};
inline constexpr Call<39, OrtRunOptions **> createRunOptions{};
inline constexpr Call<46, OrtRunOptions *> runOptionsSetTerminate{};
inline constexpr Call<48, OrtAllocator *, const int64_t *, size_t, int, OrtValue **> createTensor{};
inline constexpr Call<49, const OrtMemoryInfo *, void *, size_t, const int64_t *, size_t, int, OrtValue **>
    createTensorWithData{};
inline constexpr Call<51, OrtValue *, void **> getTensorMutableData{};
inline constexpr Call<53, const OrtValue *, size_t *> getStringTensorDataLength{};
inline constexpr Call<54, const OrtValue *, void *, size_t, size_t *, size_t> getStringTensorContent{};
inline constexpr Call<55, const OrtTypeInfo *, const OrtTensorInfo **> castTypeInfoToTensorInfo{};
inline constexpr Call<56, const OrtTypeInfo *, int *> getKindOfTypeInfo{};
inline constexpr Call<60, const OrtTensorInfo *, int *> getTensorElementType{};
inline constexpr Call<61, const OrtTensorInfo *, size_t *> getDimensionsCount{};
inline constexpr Call<62, const OrtTensorInfo *, int64_t *, size_t> getDimensions{};
inline constexpr Call<65, const OrtValue *, OrtTensorInfo **> getTensorTypeAndShape{};
inline constexpr Call<69, int, int, OrtMemoryInfo **> createCpuMemoryInfo{};
inline constexpr Call<76, OrtAllocator *, void *> allocatorFree{};
inline constexpr Call<78, OrtAllocator **> getAllocatorWithDefaultOptions{};
inline constexpr Call<252, OrtValue *, size_t, size_t, char **> getResizedStringElement{};
inline constexpr Call<279, OrtSessionOptions *, const char *const *, char *const *, const size_t *, size_t>
    addExternalInitializersFromFiles{};

inline constexpr Release<93, OrtStatus> releaseStatus{};
inline constexpr Release<94, OrtMemoryInfo> releaseMemoryInfo{};
inline constexpr Release<95, OrtSession> releaseSession{};
inline constexpr Release<96, OrtValue> releaseValue{};
inline constexpr Release<97, OrtRunOptions> releaseRunOptions{};
inline constexpr Release<98, OrtTypeInfo> releaseTypeInfo{};
inline constexpr Release<99, OrtTensorInfo> releaseTensorInfo{};
inline constexpr Release<100, OrtSessionOptions> releaseSessionOptions{};

}  // namespace ort

#endif
