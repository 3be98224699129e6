// The load: one thread that keeps a number of calls under way for a time, and says in JSON how they went and what the
// measured processes used meanwhile. Requests are encoded once; of the answers the first is compared.
//
//   signet_bench_load --address HOST:PORT [--bytes N] [--in-flight N] [--connections N] [--seconds S] [--warm-up S]
//                     [--model NAME,...] [--input NAME] [--datatype T] [--shape N,...] [--echo 0] [--shared-memory 1]
//                     [--token T] [--ca FILE] [--stream 1] [--pids A,B] [--method PATH]
//
// Several models get requests by turns, and so do connections where there are more of them than calls. --echo 0: the
// answer is something else than what was sent.
//
// {"count", "seconds", "errors", "p50Us", "p99Us", "cpuUs": CPU time of --pids while it lasted,
//  "residentKiB": memory of the first of them at the end, "othersResidentKiB": of the others together, "firstError"}
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "inference.grpc.pb.h"
#include "options.hpp"
#include "processes.hpp"
#include "requests.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using inference::GRPCInferenceService;

double secondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

class Load {
 public:
  explicit Load(const Options &options)
      : inFlight_(static_cast<size_t>(options.number("--in-flight"))),
        token_(options.text("--token")),
        method_(options.text("--method")),
        pids_(split(options.text("--pids"))),
        requests_(options) {
    connect(options);
    if (requests_.region() != nullptr) registerRegion();
  }

  void run(double warmUpSeconds, double seconds, bool isStream);

 private:
  friend struct UnaryCall;

  void connect(const Options &options) {
    auto credentials = grpc::InsecureChannelCredentials();
    if (!options.text("--ca").empty()) {
      grpc::SslCredentialsOptions tls;
      tls.pem_root_certs = readFile(options.text("--ca"));
      credentials = grpc::SslCredentials(tls);
    }
    for (int i = 0; i < static_cast<int>(options.number("--connections")); i++) {
      grpc::ChannelArguments arguments;
      arguments.SetMaxReceiveMessageSize(-1);
      arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a connection of its own
      auto channel = grpc::CreateCustomChannel(options.text("--address"), credentials, arguments);
      if (!channel->WaitForConnected(std::chrono::system_clock::now() + std::chrono::seconds(20))) {
        requests_.forgetRegion();
        std::fprintf(stderr, "%s: cannot be reached\n", options.text("--address").c_str());
        std::exit(1);
      }
      channels_.push_back(channel);
      stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
    }
  }

  void prepare(grpc::ClientContext &context) const {
    if (!token_.empty()) context.AddMetadata("authorization", "Bearer " + token_);
  }

  void answered(Clock::time_point sent, const grpc::Status &status, const grpc::ByteBuffer &response, bool isStream,
                size_t call) {
    const auto now = Clock::now();
    if (!status.ok()) {
      errors_++;
      if (firstError_.empty()) firstError_ = std::to_string(status.error_code()) + " " + status.error_message();
    } else {
      if (!isCompared_) compare(response, isStream, call);
      latenciesUs_.push_back(static_cast<float>(secondsBetween(sent, now) * 1e6));
    }
  }

  void compare(const grpc::ByteBuffer &response, bool isStream, size_t call) {
    isCompared_ = true;
    std::string why;
    if (requests_.isRight(response, isStream, call, &why)) return;
    fail("the answer is not what was sent: " + why);
  }

  [[noreturn]] void fail(const std::string &why) {
    unregisterRegion();
    std::fprintf(stderr, "%s\n", why.c_str());
    std::exit(1);
  }

  // Tells the server of the memory that tensors will be in.
  void registerRegion() {
    grpc::ClientContext context;
    prepare(context);
    inference::SystemSharedMemoryRegisterRequest request;
    request.set_name(requests_.region()->key());
    request.set_key(requests_.region()->key());
    request.set_byte_size(requests_.region()->size());
    inference::SystemSharedMemoryRegisterResponse response;
    GRPCInferenceService::Stub stub(channels_[0]);
    const grpc::Status status = stub.SystemSharedMemoryRegister(&context, request, &response);
    if (!status.ok()) fail("shared memory: " + status.error_message());
  }

  void unregisterRegion() {
    if (requests_.region() == nullptr) return;
    grpc::ClientContext context;
    prepare(context);
    inference::SystemSharedMemoryUnregisterRequest request;
    request.set_name(requests_.region()->key());
    inference::SystemSharedMemoryUnregisterResponse response;
    GRPCInferenceService::Stub(channels_[0]).SystemSharedMemoryUnregister(&context, request, &response);
    requests_.forgetRegion();
  }

  double measuredCpuUs() const {
    double sum = 0;
    for (const std::string &pid : pids_) sum += cpuTimeUs(pid);
    return sum;
  }

  size_t inFlight_;
  std::string token_;
  std::string method_;
  std::vector<std::string> pids_;
  Requests requests_;
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<float> latenciesUs_;
  size_t errors_ = 0;
  std::string firstError_;
  bool isCompared_ = false;
};

// A call that is made again as soon as it is answered.
struct UnaryCall {
  UnaryCall(Load &owner, size_t itsNumber) : load(owner), number(itsNumber), stub(itsNumber % owner.stubs_.size()) {}

  void start() {
    context = std::make_unique<grpc::ClientContext>();
    load.prepare(*context);
    sent = Clock::now();
    // All calls together are always on connections that differ.
    if (load.stubs_.size() > load.inFlight_) stub = (stub + load.inFlight_) % load.stubs_.size();
    call = load.stubs_[stub]->PrepareUnaryCall(context.get(), load.method_, load.requests_.next(number), &load.queue_);
    call->StartCall();
    call->Finish(&response, &status, this);
  }

  void ended() {
    load.answered(sent, status, response, false, number);
    response.Clear();
  }

  Load &load;
  size_t number;
  size_t stub;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  grpc::ByteBuffer response;
  grpc::Status status;
  Clock::time_point sent;
};

void Load::run(double warmUpSeconds, double seconds, bool isStream) {
  const auto begun = Clock::now();
  const auto ticks = [](double time) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(time));
  };
  const auto measuredFrom = begun + ticks(warmUpSeconds);
  bool isMeasured = false;
  auto startedAt = begun;
  double cpuBefore = 0;

  auto beginMeasuring = [&] {
    isMeasured = true;
    latenciesUs_.clear();
    errors_ = 0;
    cpuBefore = measuredCpuUs();
    startedAt = Clock::now();
  };
  auto report = [&] {
    const double cpuUs = measuredCpuUs() - cpuBefore;
    const double took = secondsBetween(startedAt, Clock::now());
    std::vector<float> &times = latenciesUs_;
    std::sort(times.begin(), times.end());
    const auto at = [&](double share) {
      return times.empty() ? 0.0F : times[std::min(times.size() - 1, static_cast<size_t>(share * times.size()))];
    };
    std::replace(firstError_.begin(), firstError_.end(), '"', '\'');
    double othersKiB = 0;
    for (size_t i = 1; i < pids_.size(); i++) othersKiB += residentKiB(pids_[i]);
    std::printf("{\"count\":%zu,\"seconds\":%.4f,\"errors\":%zu,\"p50Us\":%.1f,\"p99Us\":%.1f,\"cpuUs\":%.0f,"
                "\"residentKiB\":%.0f,\"othersResidentKiB\":%.0f,\"firstError\":\"%s\"}\n",
                times.size(), took, errors_, at(0.5), at(0.99), cpuUs, pids_.empty() ? 0 : residentKiB(pids_[0]),
                othersKiB, firstError_.c_str());
    std::fflush(stdout);
    unregisterRegion();
    _exit(0);  // what is under way is nobody's business any more
  };
  auto look = [&] {
    const auto now = Clock::now();
    if (!isMeasured && now >= measuredFrom) beginMeasuring();
    if (isMeasured && now >= startedAt + ticks(seconds)) report();
  };

  void *tag = nullptr;
  bool ok = false;
  if (!isStream) {
    std::vector<std::unique_ptr<UnaryCall>> calls;
    for (size_t i = 0; i < inFlight_; i++) {
      calls.push_back(std::make_unique<UnaryCall>(*this, i));
      calls.back()->start();
    }
    while (queue_.Next(&tag, &ok)) {
      auto *call = static_cast<UnaryCall *>(tag);
      call->ended();
      look();
      call->start();
    }
    return;
  }

  // One stream on the first connection; in-flight is how many messages wait for their answers.
  char started, written, read;  // only their addresses count
  grpc::ClientContext context;
  prepare(context);
  const auto stream = stubs_[0]->PrepareCall(&context, method_, &queue_);
  stream->StartCall(&started);
  std::vector<Clock::time_point> sent(inFlight_);
  size_t sentCount = 0, answeredCount = 0;
  bool isWriting = false;
  grpc::ByteBuffer response;
  auto write = [&] {
    if (isWriting || sentCount - answeredCount >= inFlight_) return;
    isWriting = true;
    sent[sentCount % inFlight_] = Clock::now();
    sentCount++;
    stream->Write(requests_.next(0), &written);
  };
  while (queue_.Next(&tag, &ok)) {
    if (!ok) fail("the stream ended");
    if (tag == &started) {
      stream->Read(&response, &read);
    } else if (tag == &written) {
      isWriting = false;
    } else {
      answered(sent[answeredCount % inFlight_], grpc::Status::OK, response, true, 0);
      answeredCount++;
      look();
      stream->Read(&response, &read);
    }
    write();
  }
}

}  // namespace

int main(int argc, char **argv) {
  const Options options(argc, argv,
                        {{"--address", ""},
                         {"--model", "identity"},
                         {"--input", "input"},
                         {"--datatype", "UINT8"},
                         {"--shape", ""},
                         {"--bytes", "64"},
                         {"--echo", "1"},
                         {"--shared-memory", "0"},
                         {"--in-flight", "1"},
                         {"--connections", "1"},
                         {"--seconds", "1"},
                         {"--warm-up", "0.5"},
                         {"--token", ""},
                         {"--ca", ""},
                         {"--stream", "0"},
                         {"--pids", ""},
                         {"--method", "/inference.GRPCInferenceService/ModelInfer"}});
  Load load(options);
  load.run(options.number("--warm-up"), options.number("--seconds"), options.text("--stream") == "1");
}
