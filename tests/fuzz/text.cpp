// Two texts: what the small functions on text promise.

#include "schemagate/base/text.hpp"

#include <algorithm>

#include "fuzz.hpp"
#include "schemagate/formats/prisma.hpp"
#include "schemagate/manifest/manifest.hpp"
#include "schemagate/postgres/session.hpp"

using namespace schemagate;
using fuzz::promise;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto texts = fuzz::texts_of(data, size, 3);
  const auto &a = texts[0], &b = texts[1], &c = texts[2];

  promise(!prisma::locale_less(a, a), "nothing sorts before itself");
  promise(!(prisma::locale_less(a, b) && prisma::locale_less(b, a)), "an order has one direction");
  promise(!(prisma::locale_less(a, b) && prisma::locale_less(b, c)) || prisma::locale_less(a, c),
          "an order is transitive");
  promise(a == b || prisma::locale_less(a, b) || prisma::locale_less(b, a),
          "different names have an order");

  const auto valid = valid_utf8(a);
  promise(valid_utf8(valid) == valid, "what is valid stays");
  promise(character_count(valid) <= valid.size(), "a character has a byte at least");
  const auto limit = 3 + b.size() % 64;
  const auto shorter = shortened(valid, limit);
  promise(shorter.size() <= limit, "a shortened text is short enough", shorter);
  promise(valid_utf8(shorter) == shorter, "no half characters", shorter);
  const auto shown = printable(a);
  promise(printable(shown) == shown, "what is printable stays", shown);
  promise(std::none_of(shown.begin(), shown.end(),
                       [](char one) {
                         return one == '\x7F' ||
                                (one >= 0 && one < ' ' && one != '\n' && one != '\t');
                       }),
          "a terminal has nothing to obey", shown);
  promise(join(split(a, ','), ",") == a, "parts make the whole");
  promise(trim(trim(a)) == trim(a), "a trimmed text has nothing to trim");

  const auto duration = parse_duration(a);
  promise(!duration || *duration >= Milliseconds::zero(), "a duration is not negative", a);
  const auto literal = pg::quote_literal(a);
  promise(pg::with_values("$1", {a}) == literal, "a value stands where its number was", literal);
  promise(pg::with_values("$2,$1", {a, {}}) == "NULL," + literal, "each in its place", literal);
  return 0;
}
