#pragma once
// What the fuzz targets share. A target is one function of one input; it calls what a header
// promises and ends the process where the promise does not hold. The inputs are text, so that seeds
// can be read and written by hand; where a target needs several texts, a line "----" stands between
// them.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

// `shown`: what the reader of a finding wants to see besides the input.
inline void promise(bool holds, const char* what, std::string_view shown = "") {
  if (holds) return;
  std::fprintf(stderr, "broken promise: %s\n%.*s\n", what, static_cast<int>(shown.size()),
               shown.data());
  std::abort();
}

inline std::string text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

// Exactly `count` texts, the last ones empty where the input holds fewer.
inline std::vector<std::string> texts_of(const std::uint8_t* data, std::size_t size,
                                         std::size_t count) {
  constexpr std::string_view k_between = "\n----\n";
  std::vector<std::string> texts;
  auto rest = text_of(data, size);
  while (texts.size() + 1 < count) {
    const auto end = rest.find(k_between);
    texts.push_back(rest.substr(0, end));
    rest = end == std::string::npos ? "" : rest.substr(end + k_between.size());
  }
  texts.push_back(rest);
  return texts;
}

inline bool holds(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

// In memory, removed when the target ends.
class ScratchDir {
 public:
  ScratchDir() {
    std::string name = "/dev/shm/schemagate-fuzz-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path_ = name;
  }
  ~ScratchDir() { std::filesystem::remove_all(path_); }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& content) const {
    const auto file = path_ / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream{file, std::ios::binary} << content;
    return file;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace fuzz
