#pragma once
// For parsers that recurse as deep as their input is nested: a generated script with ten thousand
// concatenations must not end the process by SIGSEGV.

#include <functional>

namespace schemagate {

// Runs `work` to its end on a thread with a stack of 256 MB (reserved, not used) and rethrows what it
// threw; on the calling thread where no such thread can be had.
void on_large_stack(const std::function<void()>& work);

}  // namespace schemagate
