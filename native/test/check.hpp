// The smallest test harness that says where it failed and goes on.
#ifndef SIGNET_TEST_CHECK_HPP
#define SIGNET_TEST_CHECK_HPP

#include <cstdio>

inline int failures = 0;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
      ++failures;                                                             \
    }                                                                         \
  } while (false)

inline int finish() {
  std::printf(failures == 0 ? "ok\n" : "%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}

#endif
