// What the measured processes use, as the kernel counts it.
#ifndef SIGNET_BENCH_PROCESSES_HPP
#define SIGNET_BENCH_PROCESSES_HPP

#include <unistd.h>

#include <sstream>
#include <string>
#include <vector>

#include "options.hpp"

inline std::vector<std::string> split(const std::string &text) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

// User and system time of a process with all its threads, microseconds. The kernel counts in ticks of mostly 10 ms.
inline double cpuTimeUs(const std::string &pid) {
  const std::string stat = readFile("/proc/" + pid + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string skipped;
  for (int i = 0; i < 11; i++) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) * 1e6 / static_cast<double>(sysconf(_SC_CLK_TCK));
}

// Memory of a process that is in RAM, KiB.
inline double residentKiB(const std::string &pid) {
  const std::string status = readFile("/proc/" + pid + "/status");
  const size_t at = status.find("VmRSS:");
  return at == std::string::npos ? 0 : std::stod(status.substr(at + 6));
}

#endif
