#pragma once
// A PostgreSQL server of one test case, for what would hurt the others: stopped, crashed, full,
// read-only. Gone with the object.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "schemagate/postgres/session.hpp"
#include "support/process.hpp"

namespace testing {

// In every connection string of an OwnServer; nothing may ever print it. (The server trusts all.)
inline constexpr const char* k_password = "geheim-31415";

// A small file system of its own, to be filled.
class SmallDisk {
 public:
  explicit SmallDisk(int size_mb);
  ~SmallDisk();
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

  // False, with a loud message, where this user may not mount; a failure of the case where
  // SCHEMAGATE_REQUIRE_POSTGRES is set.
  [[nodiscard]] static bool is_possible();

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  void fill(std::uintmax_t left_bytes = 0) const;
  void free() const;  // what fill() took

 private:
  std::filesystem::path path_;
};

struct OwnServerOptions {
  std::vector<std::string> settings;  // name=value, for postgresql.conf
  std::filesystem::path directory;    // a new one on this file system; empty: in /tmp
  std::string environment;            // NAME=value for the server, or empty
};

class OwnServer {
 public:
  explicit OwnServer(const OwnServerOptions& options = {});
  // A hot standby that streams from `primary`, which must live longer.
  [[nodiscard]] static std::unique_ptr<OwnServer> standby_of(const OwnServer& primary);
  ~OwnServer();
  OwnServer(const OwnServer&) = delete;
  OwnServer& operator=(const OwnServer&) = delete;

  void stop(const std::string& mode = "immediate") const;
  void start(bool wait = true) const;  // until it accepts connections
  [[nodiscard]] Result control(const std::vector<std::string>& arguments) const;  // pg_ctl
  [[nodiscard]] const std::filesystem::path& data() const { return data_; }

  void make_shop() const;  // anew
  // Database "shop" of this server.
  [[nodiscard]] std::string url(const std::string& role = "postgres") const;
  [[nodiscard]] schemagate::pg::Session connect(const std::string& role = "postgres") const;
  [[nodiscard]] std::string value(const std::string& sql) const;
  void execute(const std::string& sql) const;
  // ALTER SYSTEM, and waits until a new session sees it. An empty value resets.
  void set(const std::string& name, const std::string& value) const;

 private:
  OwnServer(std::filesystem::path directory, std::filesystem::path data, std::string port);

  std::filesystem::path directory_;  // to be removed; empty: a standby, inside of its primary's
  std::filesystem::path data_;
  std::string port_;
};

}  // namespace testing
