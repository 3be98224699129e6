// Reads `--name value` pairs, all of which a program must know.
#ifndef SIGNET_BENCH_OPTIONS_HPP
#define SIGNET_BENCH_OPTIONS_HPP

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

class Options {
 public:
  Options(int argc, char **argv, std::map<std::string, std::string> defaults) : values_(std::move(defaults)) {
    for (int i = 1; i < argc; i += 2) {
      const std::string name = argv[i];
      if (values_.count(name) == 0 || i + 1 == argc) {
        std::fprintf(stderr, "%s: unknown option, or no value for it\n", argv[i]);
        std::exit(1);
      }
      values_[name] = argv[i + 1];
    }
  }

  const std::string &text(const std::string &name) const { return values_.at(name); }
  double number(const std::string &name) const { return std::stod(values_.at(name)); }

 private:
  std::map<std::string, std::string> values_;
};

inline std::string readFile(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "%s: cannot be read\n", path.c_str());
    std::exit(1);
  }
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

#endif
