#pragma once
// A state of a database and its folder, and a person who types each hint that is printed for it.

#include <functional>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "e2e/history_fixture.hpp"
#include "support/hints.hpp"
#include "support/page.hpp"
#include "support/trials.hpp"

namespace testing {

class HintedShop : public Shop {
 public:
  HintedShop() {
    settings.url = "${DATABASE_URL}";
    settings.environment["DATABASE_URL"] = database().url();
  }

  // How databases of this state are reached.
  std::function<std::string(const TestDatabase&)> url = [](const auto& one) { return one.url(); };
  // What a person may do whom a hint asks to: SQL, of which one is right; or something in the
  // folder.
  std::vector<std::string> by_hand = {""};
  std::function<void()> in_folder = {};
  std::string names = "1_a";  // which a hint calls NAME

  // Whatever run, status and `resolve --auto` of each open migration print: typed as it stands it
  // settles the state within three commands, or it asks for a person's decision, and one of the
  // ways that it offers is right. No state returns to itself.
  void check_hints() {
    static std::size_t states = 0;  // of this case
    if (states++ % each_nth() != 0) return;
    (void)call({"--version"});  // writes the manifest
    followed_.clear();
    const auto seen = type(database(), "schemagate status --json 2>/dev/null");
    REQUIRE(Json::accept(seen.out));
    check_hints_of("schemagate status");
    check_hints_of("schemagate run");
    bool is_first_pending = true;
    for (const auto& one : Json::parse(seen.out).at("migrations")) {
      const auto name = one.at("name").get<std::string>();
      const auto state = one.at("state").get<std::string>();
      if (state == "applied" || (state == "pending" && !std::exchange(is_first_pending, false)))
        continue;
      check_hints_of("schemagate resolve " + schemagate::shell_word(name) + " --auto");
    }
  }

 private:
  static constexpr int k_commands_max = 3;

  // Of a database, from which all who are connected are sent away.
  struct Copy : TestDatabase {
    explicit Copy(const TestDatabase& from) : TestDatabase{false} {
      schemagate::pg::Session session{url_of_server()};
      session.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '" +
                      from.name() + "'");
      session.execute("CREATE DATABASE " + name() + " TEMPLATE " + from.name() +
                      (session.server_major_version() >= 15 ? " STRATEGY file_copy" : ""));
    }
    static std::string url_of_server() {
      return "postgresql://postgres@" + server_host() + ":" + server_port() + "/postgres";
    }
  };

  // What the person changes in the folder, until it is undone.
  struct ChangedFolder {
    explicit ChangedFolder(const HintedShop& shop) : shop_{shop} {
      if (!shop_.in_folder) return;
      std::filesystem::copy(shop_.folder(), as_it_was(), std::filesystem::copy_options::recursive);
      shop_.in_folder();
    }
    ~ChangedFolder() {
      if (!shop_.in_folder) return;
      std::filesystem::remove_all(shop_.folder());
      std::filesystem::rename(as_it_was(), shop_.folder());
    }
    ChangedFolder(const ChangedFolder&) = delete;
    ChangedFolder& operator=(const ChangedFolder&) = delete;

   private:
    [[nodiscard]] std::filesystem::path as_it_was() const {
      return shop_.dir().path() / "as-it-was";
    }
    const HintedShop& shop_;
  };

  [[nodiscard]] Result type(const TestDatabase& at, std::string command) {
    command = std::regex_replace(command, std::regex{"NAME(\\.\\.\\.)?"}, names);
    auto environment = settings.environment;
    environment["DATABASE_URL"] = url(at);
    return shell(command, {.environment = environment, .directory = dir().path()});
  }

  void check_hints_of(const std::string& command) {
    const Copy copy{database()};
    const auto said = type(copy, command);
    if (said.exit_code != 0) CHECK_FALSE(hints_in(said.out).empty());
    follow(copy, said, command, k_commands_max);
  }

  // After `typed` went well.
  [[nodiscard]] bool is_settled(const TestDatabase& at, const std::string& typed) {
    return (typed.ends_with("schemagate run") || type(at, "schemagate run").exit_code == 0) &&
           type(at, "schemagate status").exit_code == 0;
  }

  // What a hint is about: the same one for the same rows and tables is followed once.
  [[nodiscard]] static std::string state_of(const TestDatabase& at) {
    const auto has_history =
        at.value("SELECT to_regclass('_prisma_migrations') IS NOT NULL") == "t";
    return joined(at.column(
               "SELECT attrelid::regclass || '.' || attname FROM pg_attribute WHERE attnum > 0 AND "
               "NOT attisdropped AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = "
               "'public'::regnamespace) ORDER BY 1")) +
           (has_history
                ? joined(at.column(
                      "SELECT concat_ws(' ', migration_name, checksum, finished_at IS NULL, "
                      "rolled_back_at IS NULL, logs IS NULL) FROM _prisma_migrations ORDER BY 1"))
                : "");
  }

  // The hints of what `command` said when it was typed `at` this database.
  void follow(const TestDatabase& at, const Result& said, const std::string& command, int left) {
    const auto state = state_of(at);
    for (const auto& hint : hints_in(said.out)) {
      INFO("typed: " << command << "\n" << said.out);
      INFO("hint: " << hint);
      CHECK_MESSAGE(!on_the_way_.contains(hint + state), "returns to itself");
      if (followed_.contains(hint + state)) continue;
      on_the_way_.insert(hint + state);
      tried_.clear();
      if (asks_a_person(hint)) CHECK_MESSAGE(has_a_right_way(at, hint), tried_);
      else follow(at, commands_in(hint), command, left);
      on_the_way_.erase(hint + state);
      followed_.insert(hint + state);
    }
  }

  void follow(const TestDatabase& at, const std::vector<Typed>& ways, const std::string& command,
              int left) {
    for (const auto& way : ways) {
      CHECK_MESSAGE(left >= way.commands, "not settled within three commands: " << way.text);
      if (left < way.commands) continue;
      const Copy copy{at};
      const auto said = type(copy, way.text);
      CHECK(said.exit_code != 2);
      if (said.exit_code != 0) follow(copy, said, way.text, left - way.commands);
      else if (!is_settled(copy, way.text))
        follow(copy, type(copy, command), command, left - way.commands);
    }
  }

  // One that settles it all, once the person has done what was asked for; or leads to the next
  // decision, which has one.
  [[nodiscard]] bool has_a_right_way(const TestDatabase& at, const std::string& hint,
                                     int left = k_commands_max) {
    for (const auto& sql : by_hand) {
      auto ways = commands_in(hint);
      if (ways.empty()) ways.push_back({"schemagate run", 1});
      for (const auto& way : ways) {
        const Copy copy{at};
        const ChangedFolder change{*this};
        if (!sql.empty() && left == k_commands_max) copy.execute(sql);
        auto said = type(copy, way.text);
        CHECK(said.exit_code != 2);
        if (said.exit_code == 0 && is_settled(copy, way.text)) return true;
        if (said.exit_code == 0) said = type(copy, "schemagate run");
        tried_ += sql + "; " + way.text + "\n" + said.out;
        if (left == 1 || in_folder) continue;
        for (const auto& next : hints_in(said.out))
          if (next != hint && has_a_right_way(copy, next, left - 1)) return true;
      }
    }
    return false;
  }

  std::set<std::string> followed_;  // a hint and its state
  std::set<std::string> on_the_way_;
  std::string tried_;
};

}  // namespace testing
