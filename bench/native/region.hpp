// Memory in /dev/shm that the load and the server share, one part for the input and one for the output of each call.
#ifndef SIGNET_BENCH_REGION_HPP
#define SIGNET_BENCH_REGION_HPP

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

class Region {
 public:
  Region(const std::string &payload, size_t calls)
      : bytes_(payload.size()), calls_(calls), key_("signet-bench-" + std::to_string(getpid())) {
    const int file = shm_open(key_.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
    void *place = MAP_FAILED;
    if (file >= 0 && ftruncate(file, static_cast<off_t>(size())) == 0) {
      place = mmap(nullptr, size(), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (place == MAP_FAILED) {
      std::perror(key_.c_str());
      std::exit(1);
    }
    close(file);
    start_ = static_cast<char *>(place);
    for (size_t call = 0; call < calls_; call++) std::memcpy(start_ + inputAt(call), payload.data(), bytes_);
  }

  Region(const Region &) = delete;
  Region &operator=(const Region &) = delete;
  ~Region() { shm_unlink(key_.c_str()); }

  const std::string &key() const { return key_; }
  size_t size() const { return 2 * calls_ * bytes_; }
  size_t inputAt(size_t call) const { return 2 * call * bytes_; }
  size_t outputAt(size_t call) const { return inputAt(call) + bytes_; }
  std::string output(size_t call) const { return {start_ + outputAt(call), bytes_}; }

 private:
  size_t bytes_;
  size_t calls_;
  std::string key_;
  char *start_ = nullptr;
};

#endif
