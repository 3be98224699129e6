// Views of the tensors of a call: what is in an input, and where an output goes.
#ifndef SIGNET_TENSOR_HPP
#define SIGNET_TENSOR_HPP

#include <signet/plugin.h>

#include <cstring>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace signet {

// A failure with a SIGNET_* status of its own.
class Error : public std::runtime_error {
 public:
  Error(int32_t status, const std::string &message) : std::runtime_error(message), code(status) {}
  const int32_t code;
};

struct Datatype {
  uint32_t dtype;
  const char *name;
  uint32_t bytes;  // of one element; 0 for BYTES, whose elements differ
};

inline constexpr Datatype datatypes[] = {
    {SIGNET_BOOL, "BOOL", 1},     {SIGNET_UINT8, "UINT8", 1},   {SIGNET_UINT16, "UINT16", 2},
    {SIGNET_UINT32, "UINT32", 4}, {SIGNET_UINT64, "UINT64", 8}, {SIGNET_INT8, "INT8", 1},
    {SIGNET_INT16, "INT16", 2},   {SIGNET_INT32, "INT32", 4},   {SIGNET_INT64, "INT64", 8},
    {SIGNET_FP16, "FP16", 2},     {SIGNET_FP32, "FP32", 4},     {SIGNET_FP64, "FP64", 8},
    {SIGNET_BF16, "BF16", 2},     {SIGNET_BYTES, "BYTES", 0},
};

// nullptr for a number that is no datatype.
inline const Datatype *findDatatype(uint32_t dtype) {
  for (const Datatype &datatype : datatypes)
    if (datatype.dtype == dtype) return &datatype;
  return nullptr;
}

inline const Datatype *findDatatype(const std::string &name) {
  for (const Datatype &datatype : datatypes)
    if (name == datatype.name) return &datatype;
  return nullptr;
}

inline std::string datatypeName(uint32_t dtype) {
  const Datatype *datatype = findDatatype(dtype);
  return datatype != nullptr ? datatype->name : "datatype " + std::to_string(dtype);
}

// What describe(instance) says of one input or output. A size of -1 is any.
struct TensorSpec {
  std::string name;
  uint32_t dtype;
  std::vector<int64_t> shape;
};

// The number of elements of a shape. Throws std::invalid_argument on a negative size or when it overflows.
inline uint64_t elementCount(const int64_t *shape, uint32_t rank) {
  uint64_t count = 1;
  for (uint32_t i = 0; i < rank; ++i)
    if (shape[i] < 0 || __builtin_mul_overflow(count, static_cast<uint64_t>(shape[i]), &count))
      throw std::invalid_argument("shape: expected sizes of 0 or more that fit 64 bits");
  return count;
}

// Splits the elements of a BYTES tensor. Throws std::invalid_argument unless there are exactly `count`.
inline std::vector<std::string_view> elementsOfBytes(const void *data, uint64_t nbytes, uint64_t count) {
  const char *at = static_cast<const char *>(data);
  uint64_t left = nbytes;
  std::vector<std::string_view> elements;
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t length;
    if (left < sizeof length) throw std::invalid_argument("BYTES: the data ends before the last element");
    std::memcpy(&length, at, sizeof length);
    if (left - sizeof length < length) throw std::invalid_argument("BYTES: an element is longer than the data");
    elements.emplace_back(at + sizeof length, length);
    at += sizeof length + length;
    left -= sizeof length + length;
  }
  if (left != 0) throw std::invalid_argument("BYTES: there is data after the last element");
  return elements;
}

// Throws std::invalid_argument unless the tensor is consistent in itself and fits the specification.
inline void verifyTensor(const signet_tensor &tensor, const TensorSpec &spec) {
  const std::string where = "input " + spec.name + ": ";
  if (tensor.dtype != spec.dtype)
    throw std::invalid_argument(where + "expected " + datatypeName(spec.dtype) + ", got " + datatypeName(tensor.dtype));
  if (tensor.rank != spec.shape.size())
    throw std::invalid_argument(where + "expected " + std::to_string(spec.shape.size()) + " dimensions, got " +
                                std::to_string(tensor.rank));
  for (uint32_t i = 0; i < tensor.rank; ++i)
    if (spec.shape[i] >= 0 && spec.shape[i] != tensor.shape[i])
      throw std::invalid_argument(where + "dimension " + std::to_string(i) + ": expected " +
                                  std::to_string(spec.shape[i]) + ", got " + std::to_string(tensor.shape[i]));
  if (tensor.data == nullptr && tensor.nbytes != 0) throw std::invalid_argument(where + "there is no data");
  const uint64_t count = elementCount(tensor.shape, tensor.rank);
  const uint32_t size = findDatatype(spec.dtype)->bytes;
  uint64_t expected = 0;
  if (size == 0)
    elementsOfBytes(tensor.data, tensor.nbytes, count);
  else if (__builtin_mul_overflow(count, static_cast<uint64_t>(size), &expected) || expected != tensor.nbytes)
    throw std::invalid_argument(where + "the shape does not match " + std::to_string(tensor.nbytes) + " bytes");
}

// One input: read-only, valid until run() returns.
class Input {
 public:
  explicit Input(const signet_tensor &raw) : raw_(raw) {}

  uint32_t dtype() const { return raw_.dtype; }
  uint32_t rank() const { return raw_.rank; }
  const int64_t *shape() const { return raw_.shape; }
  uint64_t elements() const { return elementCount(raw_.shape, raw_.rank); }
  uint64_t nbytes() const { return raw_.nbytes; }
  const void *bytes() const { return raw_.data; }

  template <class T>
  const T *data() const {
    return static_cast<const T *>(raw_.data);
  }

  // The elements of a BYTES tensor, pointing into the input.
  std::vector<std::string_view> strings() const { return elementsOfBytes(raw_.data, raw_.nbytes, elements()); }

 private:
  const signet_tensor &raw_;
};

class Inputs {
 public:
  Inputs(const signet_tensor *raw, uint32_t count) : raw_(raw), count_(count) {}
  uint32_t size() const { return count_; }
  Input operator[](uint32_t index) const { return Input(raw_[index]); }

 private:
  const signet_tensor *raw_;
  uint32_t count_;
};

// What an output's memory belongs to when it is not the caller's buffer; release() deletes it.
struct Owned {
  virtual ~Owned() = default;
};

// One output, set once.
class Output {
 public:
  explicit Output(signet_tensor &raw) : raw_(raw) {}

  // Where to write a result of this size: the caller's buffer when it fits, memory of our own when not.
  void *place(uint32_t dtype, const int64_t *shape, uint32_t rank, uint64_t nbytes) {
    if (raw_.data == nullptr || nbytes > raw_.nbytes) {
      auto block = std::make_unique<Block>(nbytes);
      raw_.data = block->bytes.get();
      raw_.owner = static_cast<Owned *>(block.release());
    }
    fill(dtype, shape, rank, nbytes);
    return raw_.data;
  }

  // The same for a type of fixed size: out.place<float>(SIGNET_FP32, {1, 10}).
  template <class T>
  T *place(uint32_t dtype, const std::vector<int64_t> &shape) {
    const auto rank = static_cast<uint32_t>(shape.size());
    return static_cast<T *>(place(dtype, shape.data(), rank, elementCount(shape.data(), rank) * sizeof(T)));
  }

  // Copies a finished result if it fits the caller's buffer, else lends it until the host has copied it.
  void lend(uint32_t dtype, const int64_t *shape, uint32_t rank, void *data, uint64_t nbytes,
            std::unique_ptr<Owned> owner) {
    if (raw_.data != nullptr && nbytes <= raw_.nbytes) {
      if (nbytes > 0) std::memcpy(raw_.data, data, nbytes);
    } else {
      raw_.data = data;
      raw_.owner = owner.release();
    }
    fill(dtype, shape, rank, nbytes);
  }

  // The struct itself, for what the helpers do not cover.
  signet_tensor &raw() { return raw_; }

 private:
  struct Block : Owned {
    explicit Block(uint64_t size) : bytes(new unsigned char[size]) {}
    std::unique_ptr<unsigned char[]> bytes;
  };

  void fill(uint32_t dtype, const int64_t *shape, uint32_t rank, uint64_t nbytes) {
    if (rank > SIGNET_MAX_RANK) throw std::invalid_argument("output: more than 8 dimensions");
    raw_.dtype = dtype;
    raw_.rank = rank;
    for (uint32_t i = 0; i < rank; ++i) raw_.shape[i] = shape[i];
    raw_.nbytes = nbytes;
  }

  signet_tensor &raw_;
};

class Outputs {
 public:
  Outputs(signet_tensor *raw, uint32_t count) : raw_(raw), count_(count) {}
  uint32_t size() const { return count_; }
  Output operator[](uint32_t index) { return Output(raw_[index]); }

 private:
  signet_tensor *raw_;
  uint32_t count_;
};

}  // namespace signet

#endif
