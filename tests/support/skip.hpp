#pragma once

#include <string>

namespace testing {

// To be called by a case, or for it, that ends without having tried anything: says SKIPPED and why,
// and ctest lists it. Where the environment variable `required` is set the case fails instead,
// without that word: ctest looks for it before it looks at the exit code.
void skip(const std::string& why, const char* required = "SCHEMAGATE_REQUIRE_POSTGRES");

}  // namespace testing
