#pragma once
// Variables in the values of a manifest: ${NAME}, ${NAME:-default} and ${NAME:?message}, one in
// another; $${ stands for a plain ${. Pure.

#include <functional>
#include <optional>
#include <string>

#include "schemagate/manifest/manifest.hpp"

namespace schemagate {

using Complain = std::function<void(const std::string& mistake)>;

// Nothing where there was something to complain of.
[[nodiscard]] std::optional<std::string>
expand(const std::string& text, const Environment& environment, const Complain& complain);

}  // namespace schemagate
