// The C++ peer: a gRPC server with one asynchronous completion queue and one thread, typed protobuf, the structure
// that inference servers in C++ have. It answers ModelInfer and ModelStreamInfer of the first input with the same
// bytes, copied once, or calls a Signet plugin in its own process. No license, no ledger, no access check.
//
//   signet_bench_peer [--plugin FILE] [--spin-us N] [--cert FILE --key FILE]
//
// --plugin: a plugin with one UINT8 input and output of shape [-1]. --spin-us: a model that keeps a core busy so long.
#include <grpcpp/grpcpp.h>

#include <deque>
#include <memory>

#include "inference.grpc.pb.h"
#include "model.hpp"

namespace {

using inference::GRPCInferenceService;
using inference::ModelInferRequest;
using inference::ModelInferResponse;
using inference::ModelStreamInferResponse;

struct Server {
  GRPCInferenceService::AsyncService service;
  std::unique_ptr<grpc::ServerCompletionQueue> queue;
  Model model;
};

// What the queue gives back when an operation has ended.
struct Tag {
  virtual ~Tag() = default;
  virtual void ended(bool ok) = 0;
};

// One ModelInfer: asked for, answered, and then made anew for the next.
class UnaryCall final : public Tag {
 public:
  explicit UnaryCall(Server &server) : server_(server), responder_(&context_) {
    server_.service.RequestModelInfer(&context_, &request_, &responder_, server_.queue.get(), server_.queue.get(), this);
  }

  void ended(bool ok) override {
    if (!ok || isAnswered_) {
      delete this;
      return;
    }
    new UnaryCall(server_);
    isAnswered_ = true;
    const grpc::Status status = server_.model.infer(request_, &response_);
    responder_.Finish(response_, status, this);
  }

 private:
  Server &server_;
  grpc::ServerContext context_;
  ModelInferRequest request_;
  ModelInferResponse response_;
  grpc::ServerAsyncResponseWriter<ModelInferResponse> responder_;
  bool isAnswered_ = false;
};

// One ModelStreamInfer: reads go on while answers are written, one after the other.
class StreamCall {
 public:
  explicit StreamCall(Server &server) : server_(server), stream_(&context_) {
    server_.service.RequestModelStreamInfer(&context_, &stream_, server_.queue.get(), server_.queue.get(), &begun_);
  }

 private:
  struct Step final : Tag {
    Step(StreamCall *streamCall, void (StreamCall::*stepAction)(bool)) : call(streamCall), action(stepAction) {}
    void ended(bool ok) override { (call->*action)(ok); }
    StreamCall *call;
    void (StreamCall::*action)(bool);
  };

  void begin(bool ok) {
    if (!ok) {
      delete this;
      return;
    }
    new StreamCall(server_);
    stream_.Read(&request_, &read_);
  }

  void read(bool ok) {
    if (!ok) {
      isHalfClosed_ = true;
      finishIfDone();
      return;
    }
    answers_.emplace_back();
    const grpc::Status status = server_.model.infer(request_, answers_.back().mutable_infer_response());
    answers_.back().set_error_message(status.error_message());
    if (!isWriting_) writeNext();
    stream_.Read(&request_, &read_);
  }

  void written(bool ok) {
    isWriting_ = false;
    answers_.pop_front();
    if (!ok) answers_.clear();
    if (!answers_.empty()) writeNext();
    finishIfDone();
  }

  void writeNext() {
    isWriting_ = true;
    stream_.Write(answers_.front(), &written_);
  }

  void finishIfDone() {
    if (isHalfClosed_ && answers_.empty() && !isWriting_) stream_.Finish(grpc::Status::OK, &finished_);
  }

  void finish(bool) { delete this; }

  Server &server_;
  grpc::ServerContext context_;
  grpc::ServerAsyncReaderWriter<ModelStreamInferResponse, ModelInferRequest> stream_;
  ModelInferRequest request_;
  std::deque<ModelStreamInferResponse> answers_;
  bool isWriting_ = false;
  bool isHalfClosed_ = false;
  Step begun_{this, &StreamCall::begin};
  Step read_{this, &StreamCall::read};
  Step written_{this, &StreamCall::written};
  Step finished_{this, &StreamCall::finish};
};

}  // namespace

int main(int argc, char **argv) {
  const Options options(argc, argv, {{"--plugin", ""}, {"--spin-us", "0"}, {"--cert", ""}, {"--key", ""}});
  Server server{{}, nullptr, Model(options.text("--plugin"), options.number("--spin-us"))};
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", credentials(options), &port);
  builder.SetMaxReceiveMessageSize(-1);
  builder.SetMaxSendMessageSize(-1);
  builder.RegisterService(&server.service);
  server.queue = builder.AddCompletionQueue();
  const std::unique_ptr<grpc::Server> listener = builder.BuildAndStart();
  // Several asked for at once, as a server for many clients does.
  for (int i = 0; i < 64; i++) new UnaryCall(server);
  for (int i = 0; i < 4; i++) new StreamCall(server);
  sayServing(port);
  void *tag = nullptr;
  bool ok = false;
  while (server.queue->Next(&tag, &ok)) static_cast<Tag *>(tag)->ended(ok);
}
