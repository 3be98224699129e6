// A strict, small JSON reader for a plugin's configuration, and the escaping that describe() needs.
#ifndef SIGNET_JSON_HPP
#define SIGNET_JSON_HPP

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace signet {

// One JSON value. The accessors throw std::invalid_argument, naming `where`, when it is of another kind.
struct Json {
  enum class Kind { null, boolean, number, string, array, object };
  Kind kind = Kind::null;
  bool boolean = false;
  double number = 0;
  std::string string;
  std::vector<Json> items;                            // of an array
  std::vector<std::pair<std::string, Json>> members;  // of an object, in the order written

  const Json *find(const std::string &key) const {
    for (const auto &member : members)
      if (member.first == key) return &member.second;
    return nullptr;
  }

  const std::string &asString(const std::string &where) const {
    if (kind != Kind::string) throw std::invalid_argument(where + ": expected a string");
    return string;
  }

  bool asBool(const std::string &where) const {
    if (kind != Kind::boolean) throw std::invalid_argument(where + ": expected true or false");
    return boolean;
  }

  int64_t asInteger(const std::string &where, int64_t least, int64_t most) const {
    if (kind != Kind::number || number != std::floor(number) || number < static_cast<double>(least) ||
        number > static_cast<double>(most))
      throw std::invalid_argument(where + ": expected a whole number from " + std::to_string(least) + " to " +
                                  std::to_string(most));
    return static_cast<int64_t>(number);
  }

  const std::vector<Json> &asArray(const std::string &where) const {
    if (kind != Kind::array) throw std::invalid_argument(where + ": expected an array");
    return items;
  }
};

namespace detail {

class JsonReader {
 public:
  explicit JsonReader(const char *text) : start_(text), at_(text) {}

  Json read() {
    Json value = readValue(0);
    skipSpace();
    if (*at_ != '\0') fail("the end");
    return value;
  }

 private:
  static constexpr int maxDepth = 32;  // so that deep nesting cannot use up the stack
  const char *start_;
  const char *at_;

  [[noreturn]] void fail(const char *expected) const {
    throw std::invalid_argument("JSON, byte " + std::to_string(at_ - start_) + ": expected " + expected);
  }

  void skipSpace() {
    while (*at_ == ' ' || *at_ == '\n' || *at_ == '\r' || *at_ == '\t') ++at_;
  }

  void expectWord(const char *word) {
    for (const char *w = word; *w != '\0'; ++w, ++at_)
      if (*at_ != *w) fail(word);
  }

  Json readValue(int depth) {
    if (depth > maxDepth) fail("less nesting");
    skipSpace();
    Json value;
    switch (*at_) {
      case '{':
        value.kind = Json::Kind::object;
        readObject(value, depth);
        break;
      case '[':
        value.kind = Json::Kind::array;
        readArray(value, depth);
        break;
      case '"':
        value.kind = Json::Kind::string;
        value.string = readString();
        break;
      case 't':
      case 'f':
        value.kind = Json::Kind::boolean;
        value.boolean = *at_ == 't';
        expectWord(value.boolean ? "true" : "false");
        break;
      case 'n':
        expectWord("null");
        break;
      default:
        value.kind = Json::Kind::number;
        value.number = readNumber();
    }
    return value;
  }

  void readObject(Json &value, int depth) {
    ++at_;
    skipSpace();
    if (*at_ == '}') {
      ++at_;
      return;
    }
    for (;;) {
      skipSpace();
      if (*at_ != '"') fail("a key");
      std::string key = readString();
      if (value.find(key) != nullptr) fail("every key only once");
      skipSpace();
      if (*at_++ != ':') (--at_, fail("a colon"));
      value.members.emplace_back(std::move(key), readValue(depth + 1));
      skipSpace();
      if (*at_ == '}') break;
      if (*at_ != ',') fail("a comma or }");
      ++at_;
    }
    ++at_;
  }

  void readArray(Json &value, int depth) {
    ++at_;
    skipSpace();
    if (*at_ == ']') {
      ++at_;
      return;
    }
    for (;;) {
      value.items.push_back(readValue(depth + 1));
      skipSpace();
      if (*at_ == ']') break;
      if (*at_ != ',') fail("a comma or ]");
      ++at_;
    }
    ++at_;
  }

  double readNumber() {
    const char *from = at_;
    const auto digits = [this] {
      const char *first = at_;
      while (*at_ >= '0' && *at_ <= '9') ++at_;
      if (at_ == first) fail("a value");
    };
    if (*at_ == '-') ++at_;
    if (*at_ == '0')
      ++at_;
    else
      digits();
    if (*at_ == '.') (++at_, digits());
    if (*at_ == 'e' || *at_ == 'E') {
      ++at_;
      if (*at_ == '+' || *at_ == '-') ++at_;
      digits();
    }
    return std::strtod(std::string(from, at_).c_str(), nullptr);
  }

  unsigned readHex4() {
    unsigned unit = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = *at_;
      unit <<= 4;
      if (c >= '0' && c <= '9') unit |= static_cast<unsigned>(c - '0');
      else if (c >= 'a' && c <= 'f') unit |= static_cast<unsigned>(c - 'a' + 10);
      else if (c >= 'A' && c <= 'F') unit |= static_cast<unsigned>(c - 'A' + 10);
      else fail("four hexadecimal digits");
    }
    return unit;
  }

  void readUnicode(std::string &text) {
    unsigned code = readHex4();
    if (code >= 0xD800 && code < 0xDC00) {
      if (at_[0] != '\\' || at_[1] != 'u') fail("the second half of a surrogate pair");
      at_ += 2;
      const unsigned low = readHex4();
      if (low < 0xDC00 || low > 0xDFFF) fail("the second half of a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xDC00 && code < 0xE000) {
      fail("the first half of a surrogate pair");
    }
    if (code < 0x80) {
      text += static_cast<char>(code);
      return;
    }
    const int following = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    text += static_cast<char>((0xFF00 >> (following + 1)) | (code >> (6 * following)));
    for (int i = following - 1; i >= 0; --i) text += static_cast<char>(0x80 | ((code >> (6 * i)) & 0x3F));
  }

  std::string readString() {
    std::string text;
    for (++at_; *at_ != '"'; ) {
      if (static_cast<unsigned char>(*at_) < 0x20) fail("a closing quote");  // the NUL at the end is one of these
      if (*at_ != '\\') {
        text += *at_++;
        continue;
      }
      ++at_;
      const char c = *at_++;
      switch (c) {
        case '"': case '\\': case '/': text += c; break;
        case 'b': text += '\b'; break;
        case 'f': text += '\f'; break;
        case 'n': text += '\n'; break;
        case 'r': text += '\r'; break;
        case 't': text += '\t'; break;
        case 'u': readUnicode(text); break;
        default: --at_; fail("an escape");
      }
    }
    ++at_;
    return text;
  }
};

}  // namespace detail

// Parses a whole JSON text. Throws std::invalid_argument with the byte it stumbled over.
inline Json parseJson(const char *text) { return detail::JsonReader(text).read(); }

// The text as a JSON string with its quotes.
inline std::string quoteJson(const std::string &text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      quoted += escape;
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

}  // namespace signet

#endif
