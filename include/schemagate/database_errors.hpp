#pragma once
// Turns an error of our own bookkeeping, or a connection that is gone, into a Failure that says
// what to do. A script's errors are told in statement_failure.hpp.

#include <functional>

#include "schemagate/wait.hpp"

namespace schemagate {

// A stop that was requested meanwhile is the better reason, and is thrown instead.
void explaining_database_errors(const Stop& stop, const std::function<void()>& work);

}  // namespace schemagate
