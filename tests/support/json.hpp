#pragma once
// A JSON document to look into, with the words of nlohmann-json. Its templates are compiled once,
// in json.cpp, and not in every test that reads a document.

#include <concepts>
#include <cstddef>
#include <iosfwd>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace testing {

// A part of a document lives as long as anybody holds it. What is not there, or of another type,
// throws.
class Json {
 public:
  Json();                                                  // null
  [[nodiscard]] static Json parse(std::string_view text);  // throws
  [[nodiscard]] static bool accept(std::string_view text);
  [[nodiscard]] static Json array(const std::vector<std::string>& items = {});

  [[nodiscard]] Json at(std::string_view key) const;
  [[nodiscard]] Json at(std::size_t index) const;
  [[nodiscard]] Json at(int index) const { return at(static_cast<std::size_t>(index)); }
  [[nodiscard]] Json operator[](std::string_view key) const { return at(key); }
  [[nodiscard]] bool contains(std::string_view key) const;
  [[nodiscard]] std::size_t size() const;
  [[nodiscard]] bool empty() const { return size() == 0; }
  [[nodiscard]] bool is_null() const;
  [[nodiscard]] bool is_object() const;
  [[nodiscard]] bool is_string() const;
  [[nodiscard]] std::string dump(int indent = -1) const;

  template <class T> [[nodiscard]] T get() const;  // std::string, int, bool
  operator std::string() const;

  // The values of an array or an object.
  class Iterator;
  [[nodiscard]] Iterator begin() const;
  [[nodiscard]] Iterator end() const;

  // By value, as in JSON: 1 is not "1", and not true.
  friend bool operator==(const Json& one, const Json& other) { return one.is(other); }
  friend bool operator==(const Json& one, std::string_view text) { return one.is(text); }
  friend bool operator==(const Json& one, const std::string& text) {
    return one.is(std::string_view{text});
  }
  friend bool operator==(const Json& one, const char* text) {
    return one.is(std::string_view{text});
  }
  friend bool operator==(const Json& one, std::same_as<bool> auto truth) { return one.is(truth); }
  friend bool operator==(const Json& one, std::same_as<int> auto number) { return one.is(number); }
  friend std::ostream& operator<<(std::ostream& out, const Json& json);

 private:
  explicit Json(std::shared_ptr<const nlohmann::json> value);
  [[nodiscard]] Json part(const nlohmann::json& of_it) const;
  [[nodiscard]] Json nth(std::size_t index) const;
  [[nodiscard]] bool is(const Json& other) const;
  [[nodiscard]] bool is(std::string_view text) const;
  [[nodiscard]] bool is(bool truth) const;
  [[nodiscard]] bool is(int number) const;

  std::shared_ptr<const nlohmann::json> value_;
};

class Json::Iterator {
 public:
  Iterator(const Json& of, std::size_t index) : of_{of}, index_{index} {}
  Json operator*() const { return of_.nth(index_); }
  Iterator& operator++() {
    ++index_;
    return *this;
  }
  bool operator==(const Iterator& other) const { return index_ == other.index_; }

 private:
  Json of_;
  std::size_t index_;
};

inline Json::Iterator Json::begin() const { return {*this, 0}; }
inline Json::Iterator Json::end() const { return {*this, size()}; }

}  // namespace testing
