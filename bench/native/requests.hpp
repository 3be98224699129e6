// What the load sends, encoded once, and what has to come back.
#ifndef SIGNET_BENCH_REQUESTS_HPP
#define SIGNET_BENCH_REQUESTS_HPP

#include <grpcpp/grpcpp.h>

#include <memory>
#include <string>
#include <vector>

#include "inference.pb.h"
#include "options.hpp"
#include "processes.hpp"
#include "region.hpp"

class Requests {
 public:
  explicit Requests(const Options &options) : isEcho_(options.text("--echo") == "1") {
    const auto bytes = static_cast<size_t>(options.number("--bytes"));
    payload_.resize(bytes);
    for (size_t i = 0; i < bytes; i++) payload_[i] = static_cast<char>(i * 31 + i / 251);
    if (options.text("--datatype") == "FP32") fillWithFractions();
    const auto calls = static_cast<size_t>(options.number("--in-flight"));
    if (options.text("--shared-memory") == "1") region_ = std::make_unique<Region>(payload_, calls);
    const auto models = split(options.text("--model"));
    // With shared memory each call has a place of its own; otherwise requests differ in their model only.
    const size_t count = region_ ? calls : models.size();
    for (size_t i = 0; i < count; i++) encoded_.push_back(encode(requestOf(options, models[i % models.size()], i)));
  }

  // The request of one of the calls that are under way at once.
  const grpc::ByteBuffer &next(size_t call) { return encoded_[region_ ? call : sent_++ % encoded_.size()]; }

  // Where tensors are; nullptr where they are in the messages.
  const Region *region() const { return region_.get(); }
  void forgetRegion() { region_.reset(); }

  // Whether the first output of a response of `call` is right; what is wrong otherwise.
  bool isRight(const grpc::ByteBuffer &response, bool isStream, size_t call, std::string *why) const {
    inference::ModelInferResponse answer;
    inference::ModelStreamInferResponse streamed;
    const std::string bytes = bytesOf(response);
    if (isStream && streamed.ParseFromString(bytes)) answer = streamed.infer_response();
    *why = streamed.error_message();
    if (!isStream && !answer.ParseFromString(bytes)) return false;
    if (region_) return region_->output(call) == payload_;
    if (answer.raw_output_contents_size() == 0) return false;
    const std::string &output = answer.raw_output_contents(0);
    return isEcho_ ? output == payload_ : !output.empty();
  }

 private:
  // As pixels of a picture are, for a model to have something to compute with.
  void fillWithFractions() {
    for (size_t i = 0; i + sizeof(float) <= payload_.size(); i += sizeof(float)) {
      const float value = static_cast<float>(i % 509) / 509.0F;
      std::memcpy(&payload_[i], &value, sizeof value);
    }
  }

  inference::ModelInferRequest requestOf(const Options &options, const std::string &model, size_t call) const {
    inference::ModelInferRequest request;
    request.set_model_name(model);
    auto *input = request.add_inputs();
    input->set_name(options.text("--input"));
    input->set_datatype(options.text("--datatype"));
    const auto shape = split(options.text("--shape"));
    for (const std::string &size : shape) input->add_shape(std::stoll(size));
    if (shape.empty()) input->add_shape(static_cast<int64_t>(payload_.size()));
    if (!region_) {
      request.add_raw_input_contents(payload_);
      return request;
    }
    place(input->mutable_parameters(), region_->inputAt(call));
    auto *output = request.add_outputs();
    output->set_name("output");
    place(output->mutable_parameters(), region_->outputAt(call));
    return request;
  }

  template <typename Parameters>
  void place(Parameters *parameters, size_t offset) const {
    (*parameters)["shared_memory_region"].set_string_param(region_->key());
    (*parameters)["shared_memory_byte_size"].set_int64_param(static_cast<int64_t>(payload_.size()));
    (*parameters)["shared_memory_offset"].set_int64_param(static_cast<int64_t>(offset));
  }

  static grpc::ByteBuffer encode(const google::protobuf::Message &message) {
    grpc::Slice slice(message.SerializeAsString());
    return grpc::ByteBuffer(&slice, 1);
  }

  static std::string bytesOf(const grpc::ByteBuffer &buffer) {
    std::vector<grpc::Slice> slices;
    (void)buffer.Dump(&slices);
    std::string bytes;
    for (const grpc::Slice &slice : slices) bytes.append(reinterpret_cast<const char *>(slice.begin()), slice.size());
    return bytes;
  }

  bool isEcho_;
  std::string payload_;
  std::unique_ptr<Region> region_;
  std::vector<grpc::ByteBuffer> encoded_;
  size_t sent_ = 0;
};

#endif
