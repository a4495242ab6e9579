#pragma once
// The marker as a file, for gates that share a volume with the job but have no database. Others may
// write to that volume, too: they can write a marker of their own and so decide what a gate sees,
// and gain nothing else. The directory may be reached by symbolic links; the file is none.

#include <filesystem>
#include <future>
#include <optional>
#include <string>

#include "schemagate/lease/marker.hpp"

namespace schemagate {

class MarkerFile {
 public:
  explicit MarkerFile(std::filesystem::path file) : file_{std::move(file)} {}

  // A file system may never answer, because its server is gone. Both give it up then after seconds,
  // on a thread that is left behind.

  // Replaces the file in one step. Throws Failure (usage) when it cannot be written.
  void write(const ReleaseId& id, const Marker& marker) const;
  // Nothing when there is no such file, it is no marker, or it is another app's, release's or,
  // where both are known, scope's. Throws std::runtime_error saying why it cannot be read.
  [[nodiscard]] std::optional<Marker> read(const ReleaseId& id);

 private:
  std::filesystem::path file_;
  std::future<std::optional<std::string>> reading_;  // what an earlier read() has given up
};

}  // namespace schemagate
