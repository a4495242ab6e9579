// Holds what is predicted of statements against what a server does, on whole Prisma folders:
//
//   corpora_impact URL DIR...
//
// Each DIR is a folder of <name>/migration.sql. It is applied to a new database of the server at
// URL (a superuser's), migration by migration; what is there before a migration is read once, as a
// forecast does. What the server refuses is left out (its extension is missing, or its data).
// Prints each disagreement, then a line of numbers for each folder; the exit code is 1 if there is
// any. A lock that the transaction holds already is asked for by neither. Not compared, because
// tables are empty: the work of queries, which is the planner's choice, and their locks that let
// everybody read and write (nothing is looked up for no row); whether another table than the
// statement's own is read, which is the other end of a foreign key; and that a table is read which
// gets a column that must not be empty, with nothing in it: only an empty one can get it.

#include <fmt/core.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "schemagate/base/password.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/impact/measure.hpp"
#include "schemagate/impact/rules.hpp"
#include "schemagate/migrate/segments.hpp"

using namespace schemagate;

namespace {

constexpr std::size_t k_shown_max = 150;

struct Counts {
  int migrations = 0;
  int statements = 0;  // compared
  int lock_agrees = 0;
  int work_agrees = 0;
  int untold = 0;   // their text does not say what they do
  int refused = 0;  // by the server
};

using Kinds = std::set<Act::Kind>;

bool has(const std::vector<Act>& acts, const Kinds& kinds) {
  return std::any_of(acts.begin(), acts.end(),
                     [&](const Act& act) { return kinds.contains(act.kind); });
}

bool is_query(const std::vector<Act>& acts) {
  return has(acts, {Act::Kind::insert, Act::Kind::update, Act::Kind::delete_all,
                    Act::Kind::lock_rows, Act::Kind::read});
}

std::string told(const std::vector<Impact>& impacts) {
  std::vector<std::string> all;
  for (const auto& one : impacts)
    all.push_back(fmt::format("{} {} + {}", one.relation,
                              one.lock == LockMode::none ? "-" : name_of(one.lock),
                              name_of(one.work)));
  return all.empty() ? "nothing" : join(all, "; ");
}

std::vector<Impact> only_locks(std::vector<Impact> impacts, LockMode above) {
  for (auto& one : impacts) one.work = Work::catalogue;
  std::erase_if(impacts, [&](const Impact& one) { return one.lock <= above; });
  return impacts;
}

std::vector<Impact> only_work(std::vector<Impact> impacts, const std::set<std::string>& aside) {
  for (auto& one : impacts) one.lock = LockMode::none;
  std::erase_if(impacts, [&](const Impact& one) {
    return one.work == Work::catalogue || aside.contains(one.relation);
  });
  return impacts;
}

using Names = std::map<std::string, std::string>;  // by oid

Names names_in(pg::Session& session) {
  Names names;
  for (const auto& row :
       session.query_aside("SELECT c.oid, format('%I.%I', nspname, relname) FROM pg_class c "
                           "JOIN pg_namespace n ON n.oid = relnamespace"))
    names[row.text(0)] = row.text(1);
  return names;
}

class Migrated {
 public:
  Migrated(pg::Session& session, std::string name, std::vector<Statement> script, Counts& counts)
      : session_{session}, name_{std::move(name)}, script_{std::move(script)}, counts_{counts},
        relations_{read()}, measure_{session}, names_{names_in(session)} {}

  void apply() {
    ++counts_.migrations;
    for (const auto& segment : split_into_segments(script_)) {
      held_.clear();
      if (!segment.transactional) {
        apply_alone(segment.statements.front());
        continue;
      }
      auto transaction = std::make_unique<pg::Transaction>(session_);
      for (const auto& statement : segment.statements) {
        if (apply_within(statement)) continue;
        transaction->commit();  // a new enum value, say
        transaction.reset();
        held_.clear();
        transaction = std::make_unique<pg::Transaction>(session_);
        if (!apply_within(statement)) ++counts_.refused;
      }
      transaction->commit();
    }
  }

 private:
  Relations read() {
    std::vector<Act> acts;
    for (const auto& statement : script_)
      for (auto& act : acts_of(statement)) acts.push_back(std::move(act));
    renames_ = has(acts, {Act::Kind::rename, Act::Kind::set_schema, Act::Kind::opaque});
    return Relations::read(session_, {"public"}, acts);
  }

  bool apply_within(const Statement& statement) {
    session_.execute("SAVEPOINT corpora");
    measure_.before();
    const auto now = renames_ ? names_in(session_) : names_;
    try {
      session_.execute(statement.text);
    } catch (const pg::Error&) {
      session_.execute("ROLLBACK TO corpora");
      return false;
    }
    compare(statement, measure_.after(statement), now);
    return true;
  }

  void apply_alone(const Statement& statement) {
    measure_.before();
    const auto now = renames_ ? names_in(session_) : names_;
    try {
      session_.execute(statement.text);
    } catch (const pg::Error&) {
      ++counts_.refused;
      return;
    }
    compare(statement, measure_.after_alone(statement), now);
  }

  std::vector<Impact> predicted(const std::vector<Act>& acts) {
    std::vector<Impact> all;
    for (const auto& act : acts) {
      for (auto& impact : predict(act, relations_, session_.server_major_version()))
        all.push_back(std::move(impact));
      relations_.apply(act);
    }
    all = together(std::move(all));
    for (auto& one : all)
      if (one.lock <= held_[one.relation]) one.lock = LockMode::none;
    return all;
  }

  // Under the names that relations had before the migration.
  [[nodiscard]] std::vector<Impact> renamed_back(std::vector<Impact> impacts,
                                                 const Names& now) const {
    if (!renames_) return impacts;
    for (auto& one : impacts)
      for (const auto& [oid, name] : now)
        if (const auto then = names_.find(oid); name == one.relation && then != names_.end()) {
          one.relation = then->second;
          break;
        }
    return together(std::move(impacts));
  }

  [[nodiscard]] std::set<std::string> not_compared(const std::vector<Act>& acts,
                                                   const std::vector<Impact>& expected) const {
    std::set<std::string> others;
    for (const auto& one : expected)
      if (one.work == Work::scan) others.insert(one.relation);
    const auto own = [&](const Act& act) { return relations_.find(act.relation); };
    for (const auto& act : acts)
      if (own(act) != nullptr) others.erase(own(act)->quoted);
    for (const auto& act : acts) {
      const auto* end = act.constraint && act.constraint->references
                            ? relations_.find(*act.constraint->references)
                            : nullptr;
      if (end != nullptr) others.insert(end->quoted);
      const auto& made = act.column_made;
      if (own(act) != nullptr && made && made->not_null && !made->has_default &&
          !made->is_computed_for_each_row)
        others.insert(own(act)->quoted);
    }
    return others;
  }

  void compare(const Statement& statement, std::vector<Impact> measured, const Names& now) {
    const auto acts = acts_of(statement);
    const auto expected = predicted(acts);
    measured = renamed_back(std::move(measured), now);
    for (const auto& one : measured) held_[one.relation] = std::max(held_[one.relation], one.lock);
    if (has(acts, {Act::Kind::opaque})) {
      ++counts_.untold;
      return;
    }
    ++counts_.statements;
    const auto unheard = is_query(acts) ? LockMode::row_share : LockMode::none;
    const auto aside = not_compared(acts, expected);
    const bool lock = only_locks(expected, unheard) == only_locks(measured, unheard);
    const bool work = is_query(acts) || only_work(expected, aside) == only_work(measured, aside);
    counts_.lock_agrees += lock ? 1 : 0;
    counts_.work_agrees += work ? 1 : 0;
    if (!lock || !work)
      fmt::print("{}:{}: {}\n  predicted: {}\n  measured:  {}\n", name_, statement.line,
                 without_password(statement.text, k_shown_max), told(expected), told(measured));
  }

  pg::Session& session_;
  std::string name_;
  std::vector<Statement> script_;
  Counts& counts_;
  bool renames_ = false;
  Relations relations_;
  Measure measure_;
  Names names_;
  std::map<std::string, LockMode> held_;  // by the transaction
};

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  return {std::istreambuf_iterator<char>{in}, {}};
}

Counts compare_folder(const std::string& server, const std::filesystem::path& folder) {
  const std::string database = "corpora_impact";
  pg::Session{server}.execute("DROP DATABASE IF EXISTS " + database + " WITH (FORCE)");
  pg::Session{server}.execute("CREATE DATABASE " + database);
  const auto url = server.substr(0, server.rfind('/') + 1) + database;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator{folder})
    if (exists(entry.path() / "migration.sql")) files.push_back(entry.path() / "migration.sql");
  std::sort(files.begin(), files.end());
  Counts counts;
  for (const auto& file : files) {
    pg::Session session{url};
    const auto name = (folder.filename() / file.parent_path().filename()).string();
    try {
      Migrated{session, name, parse_script(content_of(file)), counts}.apply();
    } catch (const std::exception& error) {
      fmt::print("{}: ends here: {}\n", name, error.what());
    }
  }
  return counts;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr, "usage: corpora_impact URL DIR...\n");
    return 2;
  }
  bool agrees = true;
  for (int i = 2; i < argc; ++i) {
    const auto counts = compare_folder(argv[1], argv[i]);
    fmt::print("{}: {} migrations, {} statements compared, {} agree in lock, {} in work; {} not "
               "told by their text, {} refused by the server\n",
               std::filesystem::path{argv[i]}.filename().string(), counts.migrations,
               counts.statements, counts.lock_agrees, counts.work_agrees, counts.untold,
               counts.refused);
    agrees = agrees && counts.lock_agrees == counts.statements &&
             counts.work_agrees == counts.statements;
  }
  return agrees ? 0 : 1;
}
