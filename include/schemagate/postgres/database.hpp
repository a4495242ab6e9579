#pragma once
// Which database a command talks to: the manifest's strings understood, the direct one preferred
// where the other is a pooler.

#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/connection.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

class Database {
 public:
  // `for_work`: prefer direct_url over a pooler (a run); else take url as it is (a gate).
  // Throws Failure (usage) for a string that cannot be read, (refused) for a host that
  // `database.expect.host` does not allow. Registers the passwords with the log.
  enum class Purpose { work, look };
  Database(const Manifest::Database& settings, Purpose purpose);

  // Throws pg::ConnectionLost. For statements of our own: an answer that takes much too long loses
  // the connection.
  [[nodiscard]] pg::Session open(const std::string& application_name) const;
  // For scripts, on a direct connection: RESET ALL returns to these settings.
  using Settings = std::vector<std::pair<std::string, std::string>>;
  [[nodiscard]] pg::Session open_with(const std::string& application_name,
                                      const Settings& defaults) const;
  [[nodiscard]] pg::Session open_maintenance(const std::string& database) const;

  [[nodiscard]] const ConnectionString& address() const { return address_; }
  // Session state does not survive here, and a backend cannot be told by its name.
  [[nodiscard]] bool pooled() const { return pooled_; }
  // A pooler that its address did not show gives itself away by a backend pid of its own.
  void found_pooler() { pooled_ = true; }

 private:
  ConnectionString address_;
  std::optional<std::chrono::seconds> connect_timeout_;
  bool pooled_;
};

// The first existing schema of the session's search_path, where a table without one is made.
[[nodiscard]] std::string current_schema(pg::Session& session);

}  // namespace schemagate
