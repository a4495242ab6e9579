#pragma once
// What resolve and baseline have in common: they look at the history, decide under the lease what
// is to be corrected in it, and write that in one fenced transaction.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/recovery/settle.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

class Correcting {
 public:
  Correcting(const Manifest& manifest, Stop& stop, std::vector<Correction>& settled);

 protected:
  // `decide` sees the history as it is under the lease.
  void work(const std::string& mode, const std::function<std::vector<Correction>()>& decide);

  void begin_history();  // where there is none

  [[nodiscard]] Correction as_applied(const std::string& name, const std::string& because) const;
  [[nodiscard]] Correction as_rolled_back(const std::string& name,
                                          const std::string& because) const;
  // With its script; null where there is none.
  [[nodiscard]] const Migration* migration(const std::string& name) const;
  [[nodiscard]] const HistoryRow* last_row(const std::string& name, bool failed_only) const;
  [[nodiscard]] Failure unknown(const std::string& name) const;
  [[nodiscard]] Failure no_script(const Migration& migration) const;
  static void nothing(const std::string& name, const std::string& why);

  Stop& stop_;
  Target target_;
  pg::Session session_;
  History history_;

 private:
  void write(const std::string& mode, const Lease& lease,
             const std::vector<Correction>& corrections);
  [[nodiscard]] std::vector<std::string> failed_rows(const std::string& name) const;

  std::vector<Correction>& settled_;
};

}  // namespace schemagate
