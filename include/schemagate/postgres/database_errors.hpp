#pragma once
// Turns an error of our own bookkeeping, or a connection that is gone, into a Failure that says
// what to do. A script's errors are told in statement_failure.hpp.

#include <functional>

#include "schemagate/base/wait.hpp"

namespace schemagate {

// What a person types to find who holds a lock: the oldest first.
inline constexpr const char* k_open_transactions =
    "SELECT pid, usename, state, xact_start, query FROM pg_stat_activity WHERE xact_start IS NOT NULL "
    "ORDER BY xact_start";

// A stop that was requested meanwhile is the better reason, and is thrown instead.
void explaining_database_errors(const Stop& stop, const std::function<void()>& work);

}  // namespace schemagate
