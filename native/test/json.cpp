#include <signet/json.hpp>

#include "check.hpp"

static bool refused(const char *text) {
  try {
    signet::parseJson(text);
    return false;
  } catch (const std::invalid_argument &) {
    return true;
  }
}

int main() {
  const signet::Json value = signet::parseJson(
      " { \"a\" : [1, -2.5e1, true, null, {}], \"b\": \"\\u00e9\\uD83D\\uDE00\\n\\\"\", \"c\": [] } ");
  CHECK(value.members.size() == 3);
  CHECK(value.find("a")->items.size() == 5);
  CHECK(value.find("a")->items[1].number == -25);
  CHECK(value.find("a")->items[2].boolean);
  CHECK(value.find("b")->string == "\xc3\xa9\xf0\x9f\x98\x80\n\"");
  CHECK(value.find("d") == nullptr);
  CHECK(signet::quoteJson("a\"\\\n") == "\"a\\\"\\\\\\u000a\"");
  CHECK(signet::parseJson(signet::quoteJson("tab\tquote\"").c_str()).string == "tab\tquote\"");

  for (const char *text : {"", "{", "[", "[1", "[1,", "[1,]", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\":1,}", "{a:1}", "01",
                           "1.", "-", "1e", "nul", "truefalse", "\"", "\"\\", "\"\\x\"", "\"\\u12", "\"\\ud800\"",
                           "\"\\udc00\"", "\"\n\"", "1 2", "{\"a\":1,\"a\":2}", "+1", "NaN", "0x10"})
    CHECK(refused(text));
  CHECK(refused(std::string(100000, '[').c_str()));

  const signet::Json number = signet::parseJson("2.5");
  bool threw = false;
  try {
    number.asInteger("number", 0, 10);
  } catch (const std::invalid_argument &) {
    threw = true;
  }
  CHECK(threw);
  return finish();
}
