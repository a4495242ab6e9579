#include "schemagate/base/json.hpp"

#include <nlohmann/json.hpp>

#include "schemagate/base/log.hpp"
#include "schemagate/base/text.hpp"

namespace schemagate {

using Document = nlohmann::ordered_json;

struct Json::Impl {
  Document document = Document::object();
};

namespace {
constexpr auto k_replace_invalid = Document::error_handler_t::replace;
}  // namespace

Json::Json() : impl_{std::make_unique<Impl>()} {}
Json::~Json() = default;
Json::Json(Json&&) noexcept = default;
Json& Json::operator=(Json&&) noexcept = default;

Json& Json::set(std::string_view key, std::string_view value) {
  impl_->document[std::string{key}] = log::redact(std::string{value});
  return *this;
}

Json& Json::set(std::string_view key, std::int64_t value) {
  impl_->document[std::string{key}] = value;
  return *this;
}

Json& Json::set(std::string_view key, bool value) {
  impl_->document[std::string{key}] = value;
  return *this;
}

Json& Json::set(std::string_view key, const std::vector<std::string>& values) {
  auto& array = impl_->document[std::string{key}] = Document::array();
  for (const auto& value : values) array.push_back(log::redact(value));
  return *this;
}

Json& Json::set(std::string_view key, const Json& object) {
  impl_->document[std::string{key}] = object.impl_->document;
  return *this;
}

Json& Json::set(std::string_view key, const std::vector<Json>& objects) {
  auto& array = impl_->document[std::string{key}] = Document::array();
  for (const auto& object : objects) array.push_back(object.impl_->document);
  return *this;
}

std::string Json::line() const {
  return printable(impl_->document.dump(-1, ' ', false, k_replace_invalid));
}
std::string Json::pretty() const {
  return printable(impl_->document.dump(2, ' ', false, k_replace_invalid));
}

std::optional<Json> Json::parse(const std::string& text) {
  Json parsed;
  parsed.impl_->document = Document::parse(text, nullptr, false);
  if (!parsed.impl_->document.is_object()) return std::nullopt;
  return parsed;
}

std::string Json::text(std::string_view key) const {
  const auto found = impl_->document.find(std::string{key});
  return found != impl_->document.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace schemagate
