// What is a secret vanishes, the rest of a line stays.

#include <array>

#include "fuzz.hpp"
#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

using namespace schemagate;
using fuzz::promise;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array k_secrets = {"abab", "ab%2Fab", "babc", "hunter2", "hunter2!", "aaa"};
  static const bool registered = [&] {
    for (const auto* secret : k_secrets) log::keep_secret(secret);
    log::keep_secret("x");  // too short to be one
    log::keep_secret("");
    return true;
  }();
  (void)registered;
  const auto text = fuzz::text_of(data, size);
  const auto redacted = log::redact(text);
  bool had_secret = false;
  for (const auto* secret : k_secrets) {
    had_secret = had_secret || fuzz::holds(text, secret);
    promise(!fuzz::holds(redacted, secret), "a secret vanishes", redacted);
  }
  promise(had_secret == (redacted != text), "nothing else vanishes", redacted);
  promise(log::redact(redacted) == redacted, "a redacted text has nothing to redact", redacted);
  return 0;
}
