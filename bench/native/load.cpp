// The load: one thread that keeps a number of calls under way for a time, and says in JSON how they went and how much
// CPU time the measured processes used meanwhile. The request is encoded once; of the answers the first is compared.
//
//   signet_bench_load --address HOST:PORT [--model NAME] [--bytes N] [--in-flight N] [--connections N]
//                     [--seconds S] [--warm-up S] [--token T] [--ca FILE] [--stream 1] [--pids A,B] [--method PATH]
//
// {"count", "seconds", "errors", "p50Us", "p99Us", "cpuUs": CPU of --pids while it lasted, "firstError"}
#include <dirent.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "inference.pb.h"
#include "options.hpp"

namespace {

using Clock = std::chrono::steady_clock;
using inference::ModelInferRequest;
using inference::ModelInferResponse;

double secondsBetween(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// User and system time of a process with all its threads, microseconds. The kernel counts in ticks of mostly 10 ms.
double cpuTimeUs(const std::string &pid) {
  const std::string stat = readFile("/proc/" + pid + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; i++) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

std::vector<std::string> split(const std::string &text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

grpc::ByteBuffer encode(const google::protobuf::Message &message) {
  grpc::Slice slice(message.SerializeAsString());
  return grpc::ByteBuffer(&slice, 1);
}

std::string bytesOf(const grpc::ByteBuffer &buffer) {
  std::vector<grpc::Slice> slices;
  (void)buffer.Dump(&slices);
  std::string bytes;
  for (const grpc::Slice &slice : slices) bytes.append(reinterpret_cast<const char *>(slice.begin()), slice.size());
  return bytes;
}

class Load {
 public:
  explicit Load(const Options &options)
      : inFlight_(static_cast<size_t>(options.number("--in-flight"))),
        token_(options.text("--token")),
        method_(options.text("--method")),
        pids_(split(options.text("--pids"))) {
    const auto bytes = static_cast<size_t>(options.number("--bytes"));
    payload_.resize(bytes);
    for (size_t i = 0; i < bytes; i++) payload_[i] = static_cast<char>(i * 31 + i / 251);
    ModelInferRequest request;
    request.set_model_name(options.text("--model"));
    auto *input = request.add_inputs();
    input->set_name("input");
    input->set_datatype("UINT8");
    input->add_shape(static_cast<int64_t>(bytes));
    request.add_raw_input_contents(payload_);
    request_ = encode(request);
    connect(options);
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
        std::fprintf(stderr, "%s: cannot be reached\n", options.text("--address").c_str());
        std::exit(1);
      }
      stubs_.push_back(std::make_unique<grpc::GenericStub>(channel));
    }
  }

  void prepare(grpc::ClientContext &context) const {
    if (!token_.empty()) context.AddMetadata("authorization", "Bearer " + token_);
  }

  void answered(Clock::time_point sent, const grpc::Status &status, const grpc::ByteBuffer &response, bool isStream) {
    const auto now = Clock::now();
    if (!status.ok()) {
      errors_++;
      if (firstError_.empty()) firstError_ = std::to_string(status.error_code()) + " " + status.error_message();
    } else {
      if (!isCompared_) compare(response, isStream);
      latenciesUs_.push_back(static_cast<float>(secondsBetween(sent, now) * 1e6));
    }
  }

  void compare(const grpc::ByteBuffer &response, bool isStream) {
    isCompared_ = true;
    ModelInferResponse answer;
    inference::ModelStreamInferResponse streamed;
    const std::string bytes = bytesOf(response);
    if (isStream && streamed.ParseFromString(bytes)) answer = streamed.infer_response();
    const bool isParsed = isStream || answer.ParseFromString(bytes);
    if (!isParsed || answer.raw_output_contents_size() != 1 || answer.raw_output_contents(0) != payload_) {
      std::fprintf(stderr, "the answer is not what was sent: %s\n", streamed.error_message().c_str());
      std::exit(1);
    }
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
  std::string payload_;
  grpc::ByteBuffer request_;
  std::vector<std::unique_ptr<grpc::GenericStub>> stubs_;
  grpc::CompletionQueue queue_;
  std::vector<float> latenciesUs_;
  size_t errors_ = 0;
  std::string firstError_;
  bool isCompared_ = false;
};

// A call that is made again as soon as it is answered.
struct UnaryCall {
  UnaryCall(Load &owner, grpc::GenericStub &itsStub) : load(owner), stub(itsStub) {}

  void start() {
    context = std::make_unique<grpc::ClientContext>();
    load.prepare(*context);
    sent = Clock::now();
    call = stub.PrepareUnaryCall(context.get(), load.method_, load.request_, &load.queue_);
    call->StartCall();
    call->Finish(&response, &status, this);
  }

  void ended() {
    load.answered(sent, status, response, false);
    response.Clear();
  }

  Load &load;
  grpc::GenericStub &stub;
  std::unique_ptr<grpc::ClientContext> context;
  std::unique_ptr<grpc::GenericClientAsyncResponseReader> call;
  grpc::ByteBuffer response;
  grpc::Status status;
  Clock::time_point sent;
};

void Load::run(double warmUpSeconds, double seconds, bool isStream) {
  const auto begun = Clock::now();
  const auto measuredFrom = begun + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(warmUpSeconds));
  const auto end = measuredFrom + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
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
    std::printf("{\"count\":%zu,\"seconds\":%.4f,\"errors\":%zu,\"p50Us\":%.1f,\"p99Us\":%.1f,\"cpuUs\":%.0f,\"firstError\":\"%s\"}\n",
                times.size(), took, errors_, at(0.5), at(0.99), cpuUs, firstError_.c_str());
    std::fflush(stdout);
    _exit(0);  // what is under way is nobody's business any more
  };
  auto look = [&] {
    const auto now = Clock::now();
    if (!isMeasured && now >= measuredFrom) beginMeasuring();
    if (isMeasured && now >= end) report();
  };

  void *tag = nullptr;
  bool ok = false;
  if (!isStream) {
    std::vector<std::unique_ptr<UnaryCall>> calls;
    for (size_t i = 0; i < inFlight_; i++) {
      calls.push_back(std::make_unique<UnaryCall>(*this, *stubs_[i % stubs_.size()]));
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
    stream->Write(request_, &written);
  };
  while (queue_.Next(&tag, &ok)) {
    if (!ok) {
      std::fprintf(stderr, "the stream ended\n");
      std::exit(1);
    }
    if (tag == &started) {
      stream->Read(&response, &read);
    } else if (tag == &written) {
      isWriting = false;
    } else {
      answered(sent[answeredCount % inFlight_], grpc::Status::OK, response, true);
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
                        {{"--address", ""},     {"--model", "identity"}, {"--bytes", "64"},   {"--in-flight", "1"},
                         {"--connections", "1"}, {"--seconds", "1"},      {"--warm-up", "0.5"}, {"--token", ""},
                         {"--ca", ""},           {"--stream", "0"},       {"--pids", ""},
                         {"--method", "/inference.GRPCInferenceService/ModelInfer"}});
  Load load(options);
  load.run(options.number("--warm-up"), options.number("--seconds"), options.text("--stream") == "1");
}
