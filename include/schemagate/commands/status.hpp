#pragma once
// `schemagate status`: what the history, the catalogue, the lease and the markers say, each problem
// with its evidence and what settles it. Reads only, in one READ ONLY transaction: creates nothing,
// takes no lock, waits for nobody. Works for a role that may only read, on a standby, through a
// pooler, and on a database that has none of our tables.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

struct Finding {
  std::string state;    // stable, for machines: "failed", "half-applied", "edited", ...
  std::string subject;  // a migration's name, an index, ...; may be empty
  std::string what;     // a sentence
  std::vector<std::string> evidence;
  Hint hint;                       // what settles it; may be empty
  ExitCode code = ExitCode::done;  // done: worth knowing, no reason to worry
};

struct StatusReport {
  struct Migration {
    std::string name;
    std::string state;  // "applied", "pending", or a finding's
    std::string at;     // when it was applied; empty when it is not
  };
  struct Lease {
    std::string name;
    bool held = false;
    std::string app, release, host, since;
    std::string renewed_ago_s;
  };
  struct Run {
    std::int64_t id = 0;
    std::string release, mode, status;
    int applied = 0;
    int error_code = 0;
    std::string error, note, host, started_at;
    std::int64_t took_ms = -1;  // -1: not finished
  };
  struct Marker {
    std::string release, status, completed_at;
    int error_code = 0;
  };

  struct Drift {
    std::string since, fingerprint;        // of the snapshot that was compared with
    std::vector<std::string> differences;  // sentences
    std::string why_not;                   // empty: it was looked for
  };

  std::filesystem::path manifest;  // that the commands of hints are to find
  std::string app, release, database, schema;
  std::string folder;
  std::vector<Migration> migrations;  // the folder's, in order, then those only in the history
  std::vector<Finding> findings;
  std::optional<Lease> lease;     // nothing: nobody ever took it, or this role may not know
  std::vector<Run> runs;          // the last ones first
  std::vector<Marker> markers;    // the last ones first
  std::optional<Drift> drift;     // nothing: it did not come to that
  std::optional<bool> gate_open;  // nothing: this role may not know
  std::string gate_why;

  // The lowest code of a finding; done when there is none with a code.
  [[nodiscard]] ExitCode exit_code() const;
};

// verify: what the manifest's policies let pass by is told as status tells it, but drift, which
// counts, and so does what could not be looked at; and the manifest's checks are asked. deep: all
// that the history claims is replayed as well, whether there is a doubt or not.
enum class Look { status, verify, deep };
// Throws Failure (not_ready, refused, usage) when nothing can be looked at.
[[nodiscard]] StatusReport status(const Manifest& manifest, Stop& stop, Look look = Look::status);

}  // namespace schemagate
