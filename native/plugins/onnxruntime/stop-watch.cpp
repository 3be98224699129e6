#include "stop-watch.hpp"

#include <algorithm>
#include <chrono>

#include "model.hpp"

namespace ort {

namespace {

constexpr auto pollInterval = std::chrono::milliseconds(2);
// Waking a sleeping thread costs a call more than a small model does, so stay awake between calls in quick succession.
constexpr int pollsBeforeSleep = 50;

}  // namespace

StopWatch::StopWatch() : thread_([this] { watch(); }) {}

StopWatch::~StopWatch() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void StopWatch::watch() {
  std::unique_lock<std::mutex> lock(mutex_);
  int idlePolls = 0;
  while (!ending_) {
    if (calls_.empty() && ++idlePolls > pollsBeforeSleep) {
      asleep_ = true;
      changed_.wait(lock, [this] { return ending_ || !calls_.empty(); });
      asleep_ = false;
    }
    for (Call &call : calls_) {
      idlePolls = 0;
      if (call.stopped || call.control->stopReason() == SIGNET_OK) continue;
      call.stopped = true;
      if (OrtStatus *failure = runOptionsSetTerminate(call.options)) releaseStatus(failure);
    }
    changed_.wait_for(lock, pollInterval, [this] { return ending_; });
  }
}

StopWatch::Guard::Guard(StopWatch &watch, const signet::Control &control, OrtRunOptions *options)
    : watch_(watch), options_(options) {
  bool wake = false;
  {
    const std::lock_guard<std::mutex> lock(watch_.mutex_);
    watch_.calls_.push_back({&control, options, false});
    wake = watch_.asleep_;
  }
  if (wake) watch_.changed_.notify_all();
}

StopWatch::Guard::~Guard() {
  const std::lock_guard<std::mutex> lock(watch_.mutex_);
  auto &calls = watch_.calls_;
  calls.erase(std::remove_if(calls.begin(), calls.end(),
                             [this](const Call &call) { return call.options == options_; }),
              calls.end());
}

}  // namespace ort
