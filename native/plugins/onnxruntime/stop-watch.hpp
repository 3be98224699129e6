// Stops running calls whose host has asked for it, or whose deadline has passed.
#ifndef SIGNET_ONNXRUNTIME_STOP_WATCH_HPP
#define SIGNET_ONNXRUNTIME_STOP_WATCH_HPP

#include <signet/plugin.hpp>

#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "ort.h"

namespace ort {

// ONNX Runtime is told to stop by a function call, but the host can only set a word in shared memory, so a thread
// looks at the words of all running calls. It sleeps while there are none.
class StopWatch {
 public:
  StopWatch();
  ~StopWatch();

  // Watches one call for as long as it lives. `options` must outlive it.
  class Guard {
   public:
    Guard(StopWatch &watch, const signet::Control &control, OrtRunOptions *options);
    ~Guard();
    Guard(const Guard &) = delete;
    Guard &operator=(const Guard &) = delete;

   private:
    StopWatch &watch_;
    OrtRunOptions *options_;
  };

 private:
  struct Call {
    const signet::Control *control;
    OrtRunOptions *options;
    bool stopped;
  };

  void watch();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Call> calls_;
  bool asleep_ = false;
  bool ending_ = false;
  std::thread thread_;  // last, so that all it uses is there before it starts
};

}  // namespace ort

#endif
