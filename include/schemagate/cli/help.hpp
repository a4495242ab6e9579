#pragma once
// What --help prints, for terminals of 80 columns. Pure.

#include <string>
#include <utility>
#include <vector>

#include "schemagate/cli/options.hpp"

namespace schemagate::cli {

// Two columns: a name, and what it is, broken between words.
using Rows = std::vector<std::pair<std::string, std::string>>;
[[nodiscard]] std::string two_columns(const Rows& rows);

// Of one command.
[[nodiscard]] std::string help(const Options& options, const std::string& summary);

}  // namespace schemagate::cli
