#include "schemagate/manifest/typed_hint.hpp"

#include <algorithm>

#include "schemagate/base/text.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

std::string default_manifest() {
  const auto named = process_environment()("SCHEMAGATE_MANIFEST").value_or("");
  return named.empty() ? "schemagate.yaml" : named;
}

std::string as_typed(const Hint& hint, const std::filesystem::path& manifest) {
  if (manifest == default_manifest()) return hint.text();
  return hint.text([&](const std::string& command) {
    const auto name = command.substr(0, command.find(' '));
    return "schemagate " + name + " -f " + shell_word(manifest.string()) +
           command.substr(name.size());
  });
}

}  // namespace schemagate
