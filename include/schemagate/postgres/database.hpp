#pragma once
// Which database a command talks to, and how a session begins there: the manifest's strings
// understood, the direct one preferred where the other leads through a pooler.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/connection.hpp"
#include "schemagate/postgres/session.hpp"

namespace schemagate {

// What URL, role, database, PGOPTIONS, service file and a pooler give every session of the user's,
// as the first one met it. Scripts see this, whatever later sessions begin with.
struct Surroundings {
  std::string search_path;           // the setting, as SQL
  std::vector<std::string> schemas;  // those of it that exist and may be used
};

// The string of a manifest's key, understood; its passwords are the log's to hide from now on.
// Throws Failure (usage).
[[nodiscard]] ConnectionString connection_string(const std::string& key, const std::string& text);

class Database {
 public:
  // work: prefer direct_url over a pooler (a run); look: take url as it is (a gate).
  // Throws Failure (usage) for a string that cannot be read, (refused) for a host that
  // `database.expect.host` does not allow, or for url and direct_url that disagree about the
  // schema. Registers the passwords with the log.
  enum class Purpose { work, look };
  Database(const Manifest::Database& settings, Purpose purpose);

  // The first session of a command; it finds out what the following ones need to know. What gives
  // itself away only here (by a backend pid of its own, by start-up options that it drops or
  // refuses) is a pooler from then on, and for work direct_url is connected to instead. Throws
  // pg::ConnectionLost and pg::Error.
  [[nodiscard]] pg::Session connect(const std::string& application_name);

  // More of them, after connect(). Throw pg::ConnectionLost. For statements of our own: guarded,
  // and an answer that takes much too long loses the connection.
  [[nodiscard]] pg::Session open(const std::string& application_name) const;
  // For scripts: guarded where we ask; on a direct connection RESET ALL returns to these settings.
  using Settings = std::vector<std::pair<std::string, std::string>>;
  [[nodiscard]] pg::Session open_with(const std::string& application_name,
                                      const Settings& defaults) const;
  [[nodiscard]] pg::Session open_maintenance(const std::string& database) const;

  // Throws Failure (refused) where url leads to another database than direct_url, which `session`
  // is connected to. Where url cannot be reached from here, that is told. What url gives its
  // sessions, if direct_url is worked on instead.
  [[nodiscard]] std::optional<Surroundings> check_that_urls_agree(pg::Session& session) const;

  [[nodiscard]] const ConnectionString& address() const { return address_; }
  [[nodiscard]] const Surroundings& surroundings() const { return surroundings_; }
  // ?schema= of either string, or empty.
  [[nodiscard]] const std::string& schema() const { return schema_; }
  // Session state does not survive here, and a backend cannot be told by its name.
  [[nodiscard]] bool pooled() const { return pooled_; }

 private:
  Database(const Manifest::Database& settings, Purpose purpose,
           const std::vector<ConnectionString>& known);
  [[nodiscard]] pg::Session session(const std::string& application_name,
                                    const Settings& defaults) const;
  void look_around(pg::Session& session);
  void use_direct();

  std::optional<ConnectionString> pooler_;  // url, where direct_url is connected to instead
  std::optional<ConnectionString> direct_;  // direct_url, for as long as it may still be needed
  ConnectionString address_;
  std::vector<std::string> hosts_;  // that the manifest expects
  std::optional<std::chrono::seconds> connect_timeout_;
  std::string schema_;
  bool pooled_;
  Surroundings surroundings_;
};

}  // namespace schemagate
