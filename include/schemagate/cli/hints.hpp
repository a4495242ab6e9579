#pragma once
// Hints as they are to be typed: their commands must find the manifest that this one found. Pure,
// but for the environment's default.

#include <string>

namespace schemagate::cli {

// The manifest that needs no -f: $SCHEMAGATE_MANIFEST, else schemagate.yaml.
[[nodiscard]] std::string default_manifest();

// `schemagate COMMAND` becomes `schemagate COMMAND -f MANIFEST`, where it has to.
[[nodiscard]] std::string as_typed(std::string hint, const std::string& manifest);
// The same for those lines of a text that are hints.
[[nodiscard]] std::string with_hints_as_typed(const std::string& text, const std::string& manifest);

}  // namespace schemagate::cli
