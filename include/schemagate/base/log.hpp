#pragma once
// The log: one line a fact, on stderr, for people (text) or machines (JSON, one object a line).
// The only file that knows spdlog. Safe from any thread. Whatever was registered with keep_secret()
// is replaced by *** in every line and in every text passed through redact(). A message may hold
// anything that came from outside: it is shown as printable(), and its further lines are indented,
// so that none of them looks like one of ours. What libraries print on stderr becomes such
// messages.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace schemagate::log {

enum class Format { text, json };
enum class Level { debug, info, warn, error };

struct Options {
  Format format = Format::text;
  Level level = Level::info;
};

// Extra facts; JSON lines carry them as members, text lines leave them out (the message must be
// complete without them).
using Fields = std::initializer_list<std::pair<std::string_view, std::string>>;

void configure(Options options);  // main only, before any thread exists

void debug(const std::string& message, Fields fields = {});
void info(const std::string& message, Fields fields = {});
void warn(const std::string& message, Fields fields = {});
void error(const std::string& message, Fields fields = {});

void keep_secret(const std::string& secret);  // ignores texts too short to be secrets
[[nodiscard]] std::string redact(std::string text);

}  // namespace schemagate::log
