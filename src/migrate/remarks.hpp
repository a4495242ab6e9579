#pragma once
// What a person should know of an act beyond its lock and work: what is lost, what an older app
// breaks on, and how to write it so that less waits. Pure, but for what `count` asks.

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "schemagate/impact/relations.hpp"
#include "schemagate/migrate/forecast.hpp"

namespace schemagate {

struct RemarkContext {
  const Statement& statement;
  bool is_only_act;  // of its statement
  const Relations& relations;
  int server_major_version;
  // Rows of a table, or values of its column, where they can be counted at once.
  std::function<std::optional<std::int64_t>(const Relation& table, const std::string& column)>
      count = {};
};

[[nodiscard]] std::vector<Remark> remarks_on(const Act& act, const RemarkContext& context);

}  // namespace schemagate
