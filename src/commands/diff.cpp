#include "schemagate/commands/diff.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "schemagate/base/file.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/catalogue/drift.hpp"
#include "schemagate/postgres/database_errors.hpp"
#include "schemagate/postgres/missing_right.hpp"
#include "schemagate/postgres/readiness.hpp"
#include "schemagate/recovery/drift.hpp"
#include "schemagate/recovery/replay.hpp"

namespace schemagate {
namespace {

// A password on a command line is for everybody to see (ps).
std::string url_of(const std::string& word) {
  const auto given = [&](const std::optional<std::string>& text) {
    const auto url = trim(text.value_or(""));
    if (!url.empty()) return url;
    throw Failure{ExitCode::usage, fmt::format("{} is not there, or empty", word),
                  "a database is given as postgresql://..., env:NAME or file:PATH"};
  };
  if (word.starts_with("env:")) return given(process_environment()(word.substr(4)));
  if (word.starts_with("file:")) return given(read_file(word.substr(5)));
  return word;
}

// PostgreSQL prints what they are about in the session's language.
Snapshot without_comments(Snapshot objects) {
  std::erase_if(objects, [](const auto& one) { return one.first.kind == "comment"; });
  return objects;
}

struct Side {
  std::string name;
  int major = 0;
  std::set<std::string> applied;
  std::vector<std::string> schemas;
  Snapshot objects;
};

class Look {
 public:
  // `only_app`: the manifest says which schemas are the app's, and the others are left out.
  Look(const Manifest& manifest, const std::string& word, bool only_app)
      : only_app_{only_app}, manifest_{with_url(manifest, url_of(word))},
        target_{manifest_, folder(), Database::Purpose::look} {}

  pg::Session connect(Stop& stop) {
    auto session = connect_to_read(target_.database, manifest_.database, stop);
    side_.name = target_.database.address().display();
    side_.major = session.server_major_version();
    return session;
  }
  void find(pg::Session& session) {
    target_.find_history(session);
    if (target_.history() != nullptr)
      for (const auto& row : target_.history()->read(session).rows)
        if (row.applied()) side_.applied.insert(row.name);
    if (only_app_) side_.schemas = schemas_of(session, target_);
  }
  void take(pg::Session& session, const std::vector<std::string>& schemas) {
    auto what = beside(target_);
    if (only_app_) what.only_in = pg::array_of(schemas);
    side_.objects = without_comments(take_snapshot(session, what));
  }
  [[nodiscard]] const Side& side() const { return side_; }
  // What the folder makes, in a scratch like this database.
  [[nodiscard]] Side replayed(pg::Session& session, const std::vector<std::string>& schemas,
                              const Stop& stop, DiffReport& report) const {
    Side made;
    made.name = target_.folder.directory.string();
    made.major = side_.major;
    Replay replay{session, target_, stop};
    for (const auto& migration : target_.folder.migrations) {
      for (const auto& failed : replay.execute(migration))
        report.remarks.push_back(fmt::format("{}: statement {} fails in an empty database: {}",
                                             migration.name, failed.number, failed.reason));
      made.applied.insert(migration.name);
    }
    for (const auto& text : replay.left_out())
      report.remarks.push_back("reaches beyond the database, and was left out: " + text);
    made.objects = without_comments(replay.snapshot(pg::array_of(schemas)));
    return made;
  }

 private:
  static Manifest with_url(Manifest manifest, const std::string& url) {
    manifest.database.url = url;
    manifest.database.direct_url.clear();
    manifest.database.expect = {};
    return manifest;
  }
  [[nodiscard]] Folder folder() const {
    if (only_app_) return folder_of(manifest_);
    return {
        .directory = {}, .migrations = {}, .digest = {}, .format = format_of(manifest_.migrations)};
  }

  bool only_app_;
  const Manifest manifest_;
  Target target_;
  Side side_;
};

std::vector<std::string> only_in_first(const std::set<std::string>& a,
                                       const std::set<std::string>& b) {
  std::vector<std::string> only;
  std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only));
  return only;
}

std::vector<Difference> missing_in_second(const Snapshot& a, const Snapshot& b) {
  std::vector<Difference> missing;
  for (const auto& [name, object] : a)
    if (!b.contains(name)) missing.push_back({name, object, {}});
  return missing;
}

std::vector<Difference> otherwise_in_second(const Snapshot& a, const Snapshot& b) {
  std::vector<Difference> different;
  for (const auto& [name, object] : a)
    if (const auto found = b.find(name);
        found != b.end() && found->second.definition != object.definition)
      different.push_back({name, object, found->second});
  return different;
}

DiffReport compared(const Side& a, const Side& b, DiffReport report = {}) {
  report.a = a.name;
  report.b = b.name;
  report.applied_in_a_only = only_in_first(a.applied, b.applied);
  report.applied_in_b_only = only_in_first(b.applied, a.applied);
  report.missing_in_b = describe(missing_in_second(a.objects, b.objects), "");
  report.missing_in_a = describe(missing_in_second(b.objects, a.objects), "");
  report.different = describe(otherwise_in_second(a.objects, b.objects), "");
  if (a.major != b.major)
    report.remarks.push_back(
        fmt::format("A is PostgreSQL {}, B {}: they may print the same thing with other words",
                    a.major, b.major));
  return report;
}

// In one moment each.
const char* k_settings = "SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '60s';";

}  // namespace

DiffReport diff(const Manifest& manifest, const std::string& a, const std::string& b, Stop& stop) {
  DiffReport report;
  explaining_database_errors(stop, [&] {
    const bool only_app = !manifest.file.empty();
    Look first{manifest, a, only_app};
    Look second{manifest, b, only_app};
    auto one = first.connect(stop);
    auto other = second.connect(stop);
    const pg::Transaction of_one{one, pg::k_guard + std::string{k_settings},
                                 pg::Transaction::Kind::snapshot};
    const pg::Transaction of_other{other, pg::k_guard + std::string{k_settings},
                                   pg::Transaction::Kind::snapshot};
    try {
      first.find(one);
      second.find(other);
      auto schemas = first.side().schemas;
      schemas.insert(schemas.end(), second.side().schemas.begin(), second.side().schemas.end());
      first.take(one, schemas);
      second.take(other, schemas);
    } catch (const pg::Error& e) {
      if (e.sqlstate != "42501") throw;
      throw Failure{ExitCode::refused,
                    fmt::format("the role may not read the history: {}", e.message),
                    remedy_of_missing_right(e, "SELECT")};
    }
    report = compared(first.side(), second.side());
  });
  return report;
}

DiffReport diff_against(const Manifest& manifest, const std::string& url,
                        const std::filesystem::path& directory, Stop& stop) {
  DiffReport report;
  explaining_database_errors(stop, [&] {
    auto with_folder = manifest;
    with_folder.migrations.directory = directory;
    Look database{with_folder, url, true};
    auto session = database.connect(stop);
    database.find(session);
    const auto schemas = database.side().schemas;
    database.take(session, schemas);
    try {
      const auto made = database.replayed(session, schemas, stop, report);
      report = compared(made, database.side(), report);
    } catch (const CannotTell& e) {
      throw Failure{ExitCode::refused,
                    fmt::format("the migrations cannot be replayed: {}", e.what()), e.hint};
    }
  });
  return report;
}

}  // namespace schemagate
