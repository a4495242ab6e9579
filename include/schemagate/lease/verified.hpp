#pragma once
// The proof that a marker needs to become complete. Only verify (migrate/verify.hpp) can make one,
// so that an illegal order of the pipeline does not compile.

#include <string>
#include <utility>

#include "schemagate/postgres/session.hpp"

namespace schemagate {

class Verified {
 public:
  [[nodiscard]] const std::string& digest() const { return digest_; }

 private:
  friend Verified verify(pg::Session&, const struct Expectation&);
  explicit Verified(std::string digest) : digest_{std::move(digest)} {}
  std::string digest_;
};

}  // namespace schemagate
