#pragma once
// The proof that a marker needs to become complete. Only verify (migrate/verify.hpp) can make one,
// so that an illegal order of the pipeline does not compile.

#include <cstdint>
#include <string>
#include <utility>

#include "schemagate/postgres/session.hpp"

namespace schemagate {

class Verified {
 public:
  [[nodiscard]] const std::string& digest() const { return digest_; }
  [[nodiscard]] std::int64_t history_oid() const { return history_oid_; }  // 0: no history

 private:
  friend Verified verify(pg::Session&, const struct Expectation&);
  Verified(std::string digest, std::int64_t history_oid)
      : digest_{std::move(digest)}, history_oid_{history_oid} {}
  std::string digest_;
  std::int64_t history_oid_;
};

}  // namespace schemagate
