#pragma once
// Which texts can be the name of a schema. Any name that PostgreSQL takes between quotes is one,
// blanks, hyphens and umlauts inside it included; a text that PostgreSQL would cut or refuse, or
// that only a slip of the pen makes into a name, is not. Pure.

#include <string>

namespace schemagate {

// What is wrong with it, to follow its place ("is empty", "ends with a blank: \"shop \""); or
// empty.
[[nodiscard]] std::string wrong_with_schema(const std::string& name);

}  // namespace schemagate
