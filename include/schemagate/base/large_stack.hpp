#pragma once
// For parsers that recurse as deep as their input is nested: a generated script with ten thousand
// concatenations must not end the process by SIGSEGV.

#include <cstddef>
#include <functional>

namespace schemagate {

// Runs `work`, which parses `input_size_bytes`. A short text cannot be nested too deeply and is
// parsed right here; a longer one on a thread with a stack of 256 MB (reserved, not used), if one
// can be had. Rethrows what `work` threw.
void with_stack_for(std::size_t input_size_bytes, const std::function<void()>& work);

}  // namespace schemagate
