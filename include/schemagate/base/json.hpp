#pragma once
// Builds and reads the few JSON documents we exchange: log lines, `--json` reports, marker files.
// The only file that knows nlohmann-json.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace schemagate {

class Json {
 public:
  Json();  // an empty object
  ~Json();
  Json(Json&&) noexcept;
  Json& operator=(Json&&) noexcept;

  Json& set(std::string_view key, std::string_view value);
  Json& set(std::string_view key, const char* value) { return set(key, std::string_view{value}); }
  Json& set(std::string_view key, std::int64_t value);
  Json& set(std::string_view key, int value) { return set(key, std::int64_t{value}); }
  Json& set(std::string_view key, bool value);
  Json& set(std::string_view key, const std::vector<std::string>& values);
  Json& set(std::string_view key, const Json& object);
  Json& set(std::string_view key, const std::vector<Json>& objects);

  // Members are written in the order they were set; invalid UTF-8 becomes U+FFFD, what a terminal
  // would obey its \u form. What is a secret (base/log.hpp) is *** from set() on.
  [[nodiscard]] std::string line() const;
  [[nodiscard]] std::string pretty() const;

  // Nothing when the text is not a JSON object.
  [[nodiscard]] static std::optional<Json> parse(const std::string& text);
  // The member's text; empty when it is absent or not a string.
  [[nodiscard]] std::string text(std::string_view key) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace schemagate
