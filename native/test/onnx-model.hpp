// Writes the few ONNX models the tests need, field by field as onnx.proto numbers them.
#ifndef SIGNET_TEST_ONNX_MODEL_HPP
#define SIGNET_TEST_ONNX_MODEL_HPP

#include <cstdint>
#include <string>
#include <vector>

namespace onnx {

inline std::string varint(uint64_t value) {
  std::string text;
  for (; value >= 0x80; value >>= 7) text += static_cast<char>(value | 0x80);
  return text + static_cast<char>(value);
}

inline std::string number(int field, uint64_t value) { return varint(static_cast<uint64_t>(field) << 3) + varint(value); }

inline std::string message(int field, const std::string &body) {
  return varint(static_cast<uint64_t>(field) << 3 | 2) + varint(body.size()) + body;
}

// A ValueInfoProto. -1 becomes a named, free size.
inline std::string value(const std::string &name, uint32_t type, const std::vector<int64_t> &shape) {
  std::string sizes;
  for (const int64_t size : shape)
    sizes += message(1, size < 0 ? message(2, "n") : number(1, static_cast<uint64_t>(size)));
  return message(1, name) + message(2, message(1, number(1, type) + message(2, sizes)));
}

inline std::string node(const std::string &type, const std::vector<std::string> &inputs,
                        const std::vector<std::string> &outputs, const std::string &attributes = "") {
  std::string body;
  for (const std::string &input : inputs) body += message(1, input);
  for (const std::string &output : outputs) body += message(2, output);
  return message(1, body + message(4, type) + attributes);  // as GraphProto.node
}

inline std::string graphAttribute(const std::string &name, const std::string &graph) {
  return message(5, message(1, name) + message(6, graph) + number(20, 5));
}

inline std::string input(const std::string &info) { return message(11, info); }
inline std::string output(const std::string &info) { return message(12, info); }

inline std::string model(const std::string &graph) {
  return number(1, 8) + message(8, message(1, "") + number(2, 17)) + message(7, message(2, "test") + graph);
}

// output = input
inline std::string identity(uint32_t type, const std::vector<int64_t> &shape) {
  return model(node("Identity", {"x"}, {"y"}) + input(value("x", type, shape)) + output(value("y", type, shape)));
}

// Adds 1 to x as often as `turns` says, one iteration at a time: as long a run as one likes.
inline std::string loop() {
  const std::string body = message(2, "body") + node("Identity", {"goOn"}, {"goOnNext"}) +
                           node("Add", {"carried", "carried"}, {"carriedNext"}) + input(value("turn", 7, {})) +
                           input(value("goOn", 9, {})) + input(value("carried", 1, {1})) +
                           output(value("goOnNext", 9, {})) + output(value("carriedNext", 1, {1}));
  return model(node("Loop", {"turns", "", "x"}, {"y"}, graphAttribute("body", body)) +
               input(value("turns", 7, {})) + input(value("x", 1, {1})) + output(value("y", 1, {1})));
}

// y = x + w, with the four floats of w in a file of their own.
inline std::string withExternalData(const std::string &file) {
  const auto entry = [](const std::string &key, const std::string &text) {
    return message(13, message(1, key) + message(2, text));
  };
  const std::string weights = number(1, 4) + number(2, 1) + message(8, "w") + entry("location", file) +
                              entry("offset", "0") + entry("length", "16") + number(14, 1);
  return model(node("Add", {"x", "w"}, {"y"}) + message(5, weights) + input(value("x", 1, {4})) +
               output(value("y", 1, {4})));
}

}  // namespace onnx

#endif
