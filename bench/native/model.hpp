// What the C++ peers answer with: a copy of the first input, or what a Signet plugin makes of it in their own process.
#ifndef SIGNET_BENCH_MODEL_HPP
#define SIGNET_BENCH_MODEL_HPP

#include <dlfcn.h>
#include <grpcpp/grpcpp.h>
#include <signet/plugin.h>

#include <chrono>
#include <memory>
#include <string>

#include "inference.pb.h"
#include "options.hpp"

class Model {
 public:
  Model(const std::string &plugin, double spinUs) : spin_(static_cast<int64_t>(spinUs * 1000)) {
    if (plugin.empty()) return;
    void *library = dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
    void *entry = library == nullptr ? nullptr : dlsym(library, "signet_plugin_v1");
    if (entry == nullptr) {
      std::fprintf(stderr, "%s: %s\n", plugin.c_str(), dlerror());
      std::exit(1);
    }
    plugin_ = reinterpret_cast<const signet_plugin *(*)()>(entry)();
    signet_create_args args = {sizeof args, SIGNET_DEVICE_CPU, 0, 0, "{}", nullptr};
    char error[256] = "";
    if (plugin_->create(&args, &instance_, error, sizeof error) != SIGNET_OK) {
      std::fprintf(stderr, "create: %s\n", error);
      std::exit(1);
    }
  }

  grpc::Status infer(const inference::ModelInferRequest &request, inference::ModelInferResponse *response) {
    if (request.inputs_size() != 1 || request.raw_input_contents_size() != 1)
      return {grpc::StatusCode::INVALID_ARGUMENT, "expected one input with raw contents"};
    const auto &input = request.inputs(0);
    response->set_model_name(request.model_name());
    response->set_model_version("1");
    response->set_id(request.id());
    auto *output = response->add_outputs();
    output->set_name("output");
    output->set_datatype(input.datatype());
    *output->mutable_shape() = input.shape();
    const std::string &bytes = request.raw_input_contents(0);
    std::string *result = response->add_raw_output_contents();
    if (spin_.count() > 0) spin();
    if (plugin_ == nullptr) {
      *result = bytes;
      return grpc::Status::OK;
    }
    result->resize(bytes.size());
    return run(bytes, result);
  }

 private:
  void spin() const {
    const auto end = std::chrono::steady_clock::now() + spin_;
    while (std::chrono::steady_clock::now() < end) {
    }
  }

  grpc::Status run(const std::string &bytes, std::string *result) const {
    signet_tensor input = {};
    input.dtype = SIGNET_UINT8;
    input.rank = 1;
    input.shape[0] = static_cast<int64_t>(bytes.size());
    input.data = const_cast<char *>(bytes.data());
    input.nbytes = bytes.size();
    input.name = "input";
    signet_tensor output = input;
    output.data = &(*result)[0];
    output.name = "output";
    signet_control control = {};
    char error[256] = "";
    const int32_t status = plugin_->run(instance_, &input, 1, &output, 1, &control, error, sizeof error);
    if (status != SIGNET_OK || output.owner != nullptr) return {grpc::StatusCode::INTERNAL, error};
    return grpc::Status::OK;
  }

  std::chrono::nanoseconds spin_;
  const signet_plugin *plugin_ = nullptr;
  void *instance_ = nullptr;
};

// TLS where a certificate is named.
inline std::shared_ptr<grpc::ServerCredentials> credentials(const Options &options) {
  if (options.text("--cert").empty()) return grpc::InsecureServerCredentials();
  grpc::SslServerCredentialsOptions tls;
  tls.pem_key_cert_pairs.push_back({readFile(options.text("--key")), readFile(options.text("--cert"))});
  return grpc::SslServerCredentials(tls);
}

inline void sayServing(int port) {
  std::fprintf(stderr, "{\"msg\":\"serving\",\"address\":\"127.0.0.1:%d\"}\n", port);
}

#endif
