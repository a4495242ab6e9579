#pragma once
// `schemagate run`: the pipeline. readiness → lease → plan → apply → verify → marker.

#include <string>
#include <vector>

#include "schemagate/base/wait.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

struct RunReport {
  Mode mode = Mode::apply;
  std::string app;
  std::string release;
  bool already_done = false;         // nothing to do, no lease taken
  std::vector<std::string> applied;  // names, in order; also what was done before a failure
};

// Fills `report` as it goes, so that it is right also when a Failure is thrown.
void run(const Manifest& manifest, Stop& stop, RunReport& report);

}  // namespace schemagate
