#pragma once
// A throw-away database, like the live one but empty: where PostgreSQL is asked what scripts make.
// On the same server, or on another of the same major version.

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/wait.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

// Why something cannot be told by a replay, and what would help.
struct CannotTell : std::runtime_error {
  CannotTell(const std::string& why, Hint what_helps)
      : std::runtime_error{why}, hint{std::move(what_helps)} {}
  Hint hint;
};

// Opens sessions on the scratch's server: for statements of ours in its own database (no name
// given), or with what a script's session begins with in `database`.
using OpenSession = std::function<pg::Session(const std::string& database)>;

class Scratch {
 public:
  // `live` is asked for encoding, locale, settings and extensions, which are copied; those that
  // `made_by_scripts` names are left to them. `key`: whose scratches these are; what a crash left
  // of the same key is dropped. Throws CannotTell.
  Scratch(pg::Session& live, OpenSession open, const std::string& key,
          const std::vector<std::string>& made_by_scripts);
  ~Scratch();  // drops it
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  [[nodiscard]] pg::Session& session() { return *session_; }
  [[nodiscard]] std::int64_t size_bytes();
  // It stays, under a name that no run drops, which is returned; there is no session any more.
  // Throws pg::Error.
  std::string keep();

 private:
  void create(pg::Session& live);
  void copy_environment(pg::Session& live, const std::vector<std::string>& made_by_scripts);

  OpenSession open_;
  std::string name_;
  std::unique_ptr<pg::Session> server_;  // creates and drops it
  std::unique_ptr<pg::Session> session_;
};

// Drops what crashed runs of this key left: nobody is connected to it, and it is older than a
// minute. One query where there is nothing. Never fails.
void drop_scratches_left(pg::Session& session, const std::string& key) noexcept;

}  // namespace schemagate
