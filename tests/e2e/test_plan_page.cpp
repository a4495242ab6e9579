// docs/plan.md, executed: the example shop with the page's migrations, and what the page says that
// plan shows of them.

#include <doctest/doctest.h>

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "support/gate_project.hpp"
#include "support/page.hpp"

using namespace testing;

namespace {

constexpr const char* k_many_orders =
    "INSERT INTO orders (number, user_id, placed_at)"
    " SELECT 'L-' || n, 1, timestamp '2025-01-01' + n * interval '1 min'"
    "   FROM generate_series(1, 400000) n; ANALYZE orders; ANALYZE products";

// The example, migrated and in use.
class UsedExample {
 public:
  UsedExample() {
    const std::filesystem::path example{SCHEMAGATE_SOURCE_DIR "/deploy/example"};
    std::filesystem::copy(example, files_.path(), std::filesystem::copy_options::recursive);
    REQUIRE(type("schemagate run") == exits(0));
    database_.execute(k_many_orders);
  }

  [[nodiscard]] Result type(const std::string& command) const {
    return shell(command, {.environment = {{"DATABASE_URL", database_.url()}},
                           .directory = files_.path().string()});
  }
  // A block whose first line is a comment that names its file.
  void add(const Block& script) const {
    REQUIRE(script.lines.front().starts_with("-- "));
    files_.write(script.lines.front().substr(3), script.text());
  }

 private:
  TestDatabase database_;
  TempDir files_;
};

Section section(const std::string& heading) {
  const auto all = sections_of("docs/plan.md");
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.heading == heading; });
  REQUIRE(found != all.end());
  return *found;
}

}  // namespace

TEST_SUITE_BEGIN("plan page");

TEST_CASE("the page about plan shows exactly what plan prints of its migrations") {
  const UsedExample shop;
  std::string seen;
  std::size_t compared = 0;
  for (const auto& block : section("On the example shop").blocks) {
    if (block.language == "sql") shop.add(block);
    if (block.language == "sh") seen = shop.type(block.text()).out;
    if (block.language != "text") continue;
    INFO(seen);
    CHECK(missing_line(seen, block.lines) == "");
    CHECK(schemagate::split(schemagate::trim(seen), '\n').size() == block.lines.size());
    ++compared;
  }
  CHECK(compared == 1);
}

TEST_CASE("every command that the page about plan shows is understood") {
  const UsedExample shop;
  for (const std::string heading : {"Without a database", "Before a roll-back of the app"})
    for (auto command : section(heading).commands()) {
      INFO(command);
      const auto said = shop.type(command).out;
      // The example's migrations and releases have other names.
      const bool is_of_a_name = said == contains("holds no migration \"20261101_users\"") ||
                                said == contains("no run of release 3.1.0 was ever complete");
      CHECK((is_of_a_name || said.starts_with("app shop, release ")));
    }
}

TEST_SUITE_END();
