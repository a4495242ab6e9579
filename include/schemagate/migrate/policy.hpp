#pragma once
// What the manifest's policies say of what the pending migrations would do. Pure: a forecast and
// the policies in, findings out; the same for every command that judges.

#include <optional>
#include <string>
#include <vector>

#include "schemagate/base/error.hpp"
#include "schemagate/manifest/policies.hpp"
#include "schemagate/migrate/forecast.hpp"

namespace schemagate {

struct PolicyFinding {
  std::string migration;
  std::string rule;  // of k_rules; "unknown": what a statement does cannot be told from its text
  std::string location;      // path:line:column of the statement that begins it
  std::string text;          // a sentence
  std::string safer = {};    // SQL that does the same and stops nobody; or empty
  Policy level;              // allow: told, and stops nothing
  std::string because = {};  // of allow: the allowance's reason
};

// One for each statement that loses something, each relation that is locked too long, and each
// statement of which nobody can tell; in the order of execution. What a policy allows as a whole is
// not found. An allowance counts whatever the policy says.
[[nodiscard]] std::vector<PolicyFinding> findings(const Forecast& forecast,
                                                  const Policies& policies);
// "path:3:1: drop_table: ...", with the reason or the safer way.
[[nodiscard]] std::string told(const PolicyFinding& finding);
// Nothing where none fails. `manifest`: the file, as a person would open it.
[[nodiscard]] std::optional<Failure> refusal(const std::vector<PolicyFinding>& found,
                                             const std::string& manifest);

// Names of allowances that none of `known` bears: misspelt, or of a history that was squashed.
[[nodiscard]] std::vector<std::string> unknown_migrations(const Policies& policies,
                                                          const std::vector<std::string>& known);

}  // namespace schemagate
