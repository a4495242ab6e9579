#pragma once
// What is in the database, read for the scripts that it is compared with: of failed migrations
// (diagnosis.cpp), pending ones and those recorded as applied (existing.cpp).

#include <vector>

#include "schemagate/catalogue/evidence.hpp"
#include "schemagate/recovery/target.hpp"

namespace schemagate {

[[nodiscard]] Catalogue catalogue_for(pg::Session& session, const Target& target,
                                      const std::vector<Script>& scripts);

}  // namespace schemagate
