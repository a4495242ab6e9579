#include "support/json.hpp"

#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

namespace testing {

Json::Json() : Json{std::make_shared<const nlohmann::json>()} {}
Json::Json(std::shared_ptr<const nlohmann::json> value) : value_{std::move(value)} {}

Json Json::parse(std::string_view text) {
  return Json{std::make_shared<const nlohmann::json>(nlohmann::json::parse(text))};
}
bool Json::accept(std::string_view text) { return nlohmann::json::accept(text); }
Json Json::array(const std::vector<std::string>& items) {
  auto array = nlohmann::json::array();
  for (const auto& item : items) array.push_back(item);
  return Json{std::make_shared<const nlohmann::json>(std::move(array))};
}

Json Json::part(const nlohmann::json& of_it) const {
  return Json{std::shared_ptr<const nlohmann::json>{value_, &of_it}};
}
Json Json::at(std::string_view key) const { return part(value_->at(std::string{key})); }
Json Json::at(std::size_t index) const { return part(value_->at(index)); }
Json Json::nth(std::size_t index) const {
  return part(*std::next(value_->begin(), static_cast<std::ptrdiff_t>(index)));
}
bool Json::contains(std::string_view key) const { return value_->contains(std::string{key}); }
std::size_t Json::size() const { return value_->size(); }
bool Json::is_null() const { return value_->is_null(); }
bool Json::is_object() const { return value_->is_object(); }
bool Json::is_string() const { return value_->is_string(); }
std::string Json::dump(int indent) const { return value_->dump(indent); }

template <> std::string Json::get() const { return value_->get<std::string>(); }
template <> int Json::get() const { return value_->get<int>(); }
template <> bool Json::get() const { return value_->get<bool>(); }
Json::operator std::string() const { return get<std::string>(); }

bool Json::is(const Json& other) const { return *value_ == *other.value_; }
bool Json::is(std::string_view text) const { return is_string() && get<std::string>() == text; }
bool Json::is(bool truth) const { return *value_ == truth; }
bool Json::is(int number) const { return *value_ == number; }

std::ostream& operator<<(std::ostream& out, const Json& json) { return out << json.dump(); }

}  // namespace testing
