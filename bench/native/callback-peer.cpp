// The C++ peer once more, on gRPC's callback API, which most new C++ servers are written with: gRPC's own threads call
// the handlers. Answers as peer.cpp does, without a plugin.
//
//   signet_bench_callback_peer [--cert FILE --key FILE]
#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>
#include <mutex>

#include "inference.grpc.pb.h"
#include "model.hpp"

namespace {

using inference::GRPCInferenceService;
using inference::ModelInferRequest;
using inference::ModelInferResponse;
using inference::ModelStreamInferResponse;

// One ModelStreamInfer: reads go on while answers are written, one after the other.
class Stream final : public grpc::ServerBidiReactor<ModelInferRequest, ModelStreamInferResponse> {
 public:
  explicit Stream(Model &model) : model_(model) { StartRead(&request_); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      const std::lock_guard<std::mutex> lock(mutex_);
      isHalfClosed_ = true;
      finishIfDone();
      return;
    }
    ModelStreamInferResponse answer;
    const grpc::Status status = model_.infer(request_, answer.mutable_infer_response());
    answer.set_error_message(status.error_message());
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      answers_.push_back(std::move(answer));
      if (!isWriting_) writeNext();
    }
    StartRead(&request_);
  }

  void OnWriteDone(bool ok) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    isWriting_ = false;
    answers_.pop_front();
    if (!ok) answers_.clear();
    if (!answers_.empty()) writeNext();
    finishIfDone();
  }

  void OnDone() override { delete this; }

 private:
  void writeNext() {
    isWriting_ = true;
    StartWrite(&answers_.front());
  }

  void finishIfDone() {
    if (isHalfClosed_ && answers_.empty() && !isWriting_) Finish(grpc::Status::OK);
  }

  Model &model_;
  ModelInferRequest request_;
  std::mutex mutex_;
  std::deque<ModelStreamInferResponse> answers_;
  bool isWriting_ = false;
  bool isHalfClosed_ = false;
};

class Service final : public GRPCInferenceService::CallbackService {
 public:
  grpc::ServerUnaryReactor *ModelInfer(grpc::CallbackServerContext *context, const ModelInferRequest *request,
                                       ModelInferResponse *response) override {
    grpc::ServerUnaryReactor *reactor = context->DefaultReactor();
    reactor->Finish(model_.infer(*request, response));
    return reactor;
  }

  grpc::ServerBidiReactor<ModelInferRequest, ModelStreamInferResponse> *ModelStreamInfer(
      grpc::CallbackServerContext *) override {
    return new Stream(model_);
  }

 private:
  Model model_{"", 0};
};

}  // namespace

int main(int argc, char **argv) {
  const Options options(argc, argv, {{"--cert", ""}, {"--key", ""}});
  Service service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials(options), &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> listener = builder.BuildAndStart();
  sayServing(port);
  listener->Wait();
}
