#include "schemagate/base/log.hpp"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <cstdio>
#include <mutex>
#include <set>
#include <vector>

#include "schemagate/base/json.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate::log {
namespace {

// A shorter text would blank out ordinary words; nobody's password is protected by hiding "ab".
constexpr std::size_t k_secret_size_min = 3;

struct State {
  std::mutex mutex;    // of the secrets
  std::mutex writing;  // the lines of one message stay together
  std::vector<std::string> secrets;
  Format format = Format::text;
  std::shared_ptr<spdlog::logger> logger;
};

State& state() {
  static auto* const kept_until_exit = new State;  // no destructor runs while threads still log
  return *kept_until_exit;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::info;
}

const char* name_of(Level level) {
  switch (level) {
    case Level::debug: return "debug";
    case Level::info: return "info";
    case Level::warn: return "warn";
    case Level::error: return "error";
  }
  return "info";
}

std::string json_line(Level level, const std::string& message, Fields fields) {
  Json line;
  line.set("level", name_of(level)).set("message", message);
  for (const auto& [key, value] : fields) line.set(key, value);
  const auto text = line.line();
  return text.substr(1, text.size() - 2);  // the pattern adds braces and time
}

void write(Level level, const std::string& message, Fields fields) {
  auto& logger = state().logger;
  if (!logger || !logger->should_log(to_spdlog(level))) return;
  if (state().format == Format::json)
    return logger->log(to_spdlog(level), json_line(level, message, fields));
  const auto lines = split(printable(redact(message)), '\n');
  const std::lock_guard together{state().writing};
  logger->log(to_spdlog(level), lines.front());
  for (std::size_t i = 1; i < lines.size(); ++i)
    logger->log(to_spdlog(level), lines[i].starts_with("  ") ? lines[i] : "  " + lines[i]);
}

// stderr as libraries know it: what they print by themselves (libpq: notices that come while it
// connects) is outside text as well. Each connection gives the same.
ssize_t write_for_library(void*, const char* text, std::size_t size) {
  static auto* const told = new std::set<std::string>;  // the stream is locked meanwhile
  const auto message = trim({text, size});
  if (!message.empty() && told->insert(message).second) warn(message);
  return static_cast<ssize_t>(size);
}

void take_stderr_of_libraries() {
  constexpr cookie_io_functions_t k_write_only{nullptr, write_for_library, nullptr, nullptr};
  auto* const stream = ::fopencookie(nullptr, "w", k_write_only);
  if (stream == nullptr) return;
  std::setvbuf(stream, nullptr, _IOLBF, BUFSIZ);
  stderr = stream;  // a variable like any other in glibc
}

std::shared_ptr<spdlog::logger> make_logger() {
  auto logger = std::make_shared<spdlog::logger>(
      "schemagate", std::make_shared<spdlog::sinks::stderr_color_sink_mt>());
  logger->flush_on(spdlog::level::trace);  // a killed job must not take its last words with it
  logger->set_error_handler([](const std::string&) {});  // nobody is left to be told
  take_stderr_of_libraries();
  return logger;
}

}  // namespace

void configure(Options options) {
  auto& logger = state().logger;
  if (!logger) logger = make_logger();
  logger->set_level(to_spdlog(options.level));
  const bool json = options.format == Format::json;
  logger->set_pattern(json ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})" : "%H:%M:%S %^%-5l%$ %v",
                      json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local);
  state().format = options.format;
}

void debug(const std::string& message, Fields fields) { write(Level::debug, message, fields); }
void info(const std::string& message, Fields fields) { write(Level::info, message, fields); }
void warn(const std::string& message, Fields fields) { write(Level::warn, message, fields); }
void error(const std::string& message, Fields fields) { write(Level::error, message, fields); }

void keep_secret(const std::string& secret) {
  if (secret.size() < k_secret_size_min) return;
  const std::lock_guard lock{state().mutex};
  auto& secrets = state().secrets;
  if (std::find(secrets.begin(), secrets.end(), secret) != secrets.end()) return;
  secrets.push_back(secret);
  // Longest first: a secret that contains another one must vanish whole.
  std::sort(secrets.begin(), secrets.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
}

std::string redact(std::string text) {
  const std::lock_guard lock{state().mutex};
  for (const auto& secret : state().secrets) {
    for (auto at = text.find(secret); at != std::string::npos; at = text.find(secret, at + 3))
      text.replace(at, secret.size(), "***");
  }
  return text;
}

}  // namespace schemagate::log
