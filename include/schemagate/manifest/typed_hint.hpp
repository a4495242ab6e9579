#pragma once
// Hints as they are to be typed: their commands must find the manifest that this one found. Pure,
// but for the environment's default.

#include <filesystem>
#include <string>

#include "schemagate/base/hint.hpp"

namespace schemagate {

// The manifest that needs no -f: $SCHEMAGATE_MANIFEST, else schemagate.yaml.
[[nodiscard]] std::string default_manifest();

// "schemagate resolve -f shop.yaml NAME", with -f where it has to be.
[[nodiscard]] std::string as_typed(const Hint& hint, const std::filesystem::path& manifest);

}  // namespace schemagate
