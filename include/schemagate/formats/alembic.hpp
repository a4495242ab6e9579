#pragma once
// Alembic's revisions: a graph, written into the files, of which the table holds the heads only. A
// revision is applied where a row is it, or comes after it. (Alembic 1.20: script/revision.py;
// heads that another applied revision depends on are not in the table, either.)

#include <memory>

#include "schemagate/formats/generic.hpp"

namespace schemagate::alembic {

[[nodiscard]] std::shared_ptr<const Format> format(generic::Description description);

}  // namespace schemagate::alembic
