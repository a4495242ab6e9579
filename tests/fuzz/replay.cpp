// Runs a target on every file below the paths given: the seeds as ordinary tests, a finding by
// hand.

#include <algorithm>
#include <iterator>

#include "fuzz.hpp"

namespace {

void run(const std::filesystem::path& file) {
  std::ifstream stream{file, std::ios::binary};
  const std::string input{std::istreambuf_iterator<char>{stream}, {}};
  std::printf("%s\n", file.c_str());
  std::fflush(stdout);
  LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t count = 0;
  for (int i = 1; i < argc; ++i) {
    std::vector<std::filesystem::path> files;
    if (!std::filesystem::is_directory(argv[i])) files.emplace_back(argv[i]);
    else {
      for (const auto& entry : std::filesystem::recursive_directory_iterator{argv[i]})
        if (entry.is_regular_file()) files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    for (const auto& file : files) run(file);
    count += files.size();
  }
  return count == 0 ? 1 : 0;
}
