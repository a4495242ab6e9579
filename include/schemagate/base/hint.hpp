#pragma once
// What to do about a failure: words, and commands of this program among them. How a command has to
// be typed depends on who reads it, so that it stays data until it is printed
// (manifest/typed_hint.hpp).

#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace schemagate {

class Hint {
 public:
  Hint() = default;
  Hint(std::string words) {
    if (!words.empty()) parts_.push_back({std::move(words), false});
  }
  Hint(const char* words) : Hint{std::string{words}} {}

  friend Hint operator+(Hint left, const Hint& right) {
    left.parts_.insert(left.parts_.end(), right.parts_.begin(), right.parts_.end());
    return left;
  }
  bool operator==(const Hint&) const = default;
  [[nodiscard]] bool empty() const { return parts_.empty(); }

  // `typed` gets a command without the program's name: "resolve 1_init --auto".
  [[nodiscard]] std::string
  text(const std::function<std::string(const std::string& command)>& typed) const {
    std::string all;
    for (const auto& part : parts_) all += part.is_command ? typed(part.text) : part.text;
    return all;
  }
  [[nodiscard]] std::string text() const {
    return text([](const std::string& command) { return "schemagate " + command; });
  }

 private:
  friend Hint own_command(std::string command);
  struct Part {
    std::string text;
    bool is_command;
    bool operator==(const Part&) const = default;
  };
  std::vector<Part> parts_;
};

// One of ours: "status", "resolve 1_init --auto".
[[nodiscard]] inline Hint own_command(std::string command) {
  Hint hint;
  hint.parts_.push_back({std::move(command), true});
  return hint;
}

}  // namespace schemagate
