#include "schemagate/commands/gate_view.hpp"

#include <doctest/doctest.h>

#include <optional>

#include "support/text.hpp"

using namespace schemagate;
using namespace testing;

namespace {

using State = GateView::State;
using Status = Marker::Status;

const std::string k_ours = "ours";
const std::vector<std::string> k_none;
const std::vector<std::string> k_two{"2_b is not applied", "3_c is not applied"};

std::optional<Marker> marker(Status status, const std::string& digest = k_ours) {
  return Marker{.status = status,
                .digest = digest,
                .error_code = status == Status::failed ? 21 : 0,
                .error = "no",
                .changed_at = "noon"};
}

// Of release r1, by an image with the folder `ours` unless `digest` is null.
GateView view(const std::optional<Marker>& marker, const std::string* digest = &k_ours,
              const std::vector<std::string>* missing = nullptr) {
  GateEvidence evidence{.marker = marker};
  if (digest != nullptr) evidence.digest = *digest;
  if (missing != nullptr) evidence.missing = *missing;
  return gate_view({.app = "shop", .release = "r1", .scope = "prisma:public"}, evidence);
}

}  // namespace

TEST_SUITE("gate") {
  TEST_CASE("each combination of marker, folder and history opens, closes or fails the gate") {
    struct Row {
      std::optional<Marker> marker;
      const std::string* digest;                // null: the image holds no folder
      const std::vector<std::string>* missing;  // null: gate.match is release
      State state;
      std::string why;
    };
    const auto none = std::optional<Marker>{};
    const auto other = [](Status status) { return marker(status, "another's"); };
    const std::string failed = "the run for release r1 failed with code 21 at noon: no";
    const std::string runs = "a run for release r1 began at noon, and nobody has recorded its end";
    const std::string others = "the last run for release r1 was for other migrations";
    const std::vector<Row> table = {
        {none, &k_ours, nullptr, State::closed, "no run for release r1 yet"},
        {none, nullptr, nullptr, State::closed, "no run for release r1 yet"},
        {none, &k_ours, &k_none, State::open, ""},
        {none, &k_ours, &k_two, State::closed, "2_b is not applied (and 1 more)"},
        {marker(Status::complete), &k_ours, nullptr, State::open, ""},
        {marker(Status::complete), nullptr, nullptr, State::open, ""},
        {marker(Status::complete), &k_ours, &k_none, State::open, ""},
        {marker(Status::complete), &k_ours, &k_two, State::closed, "2_b is not applied"},
        {marker(Status::running), &k_ours, nullptr, State::closed, runs},
        {marker(Status::running), nullptr, nullptr, State::closed, runs},
        {marker(Status::running), &k_ours, &k_none, State::closed,
         runs},  // it may be at its checks
        {marker(Status::running), &k_ours, &k_two, State::closed, runs},
        {marker(Status::failed), &k_ours, nullptr, State::failed, failed},
        {marker(Status::failed), nullptr, nullptr, State::failed, failed},
        {marker(Status::failed), &k_ours, &k_none, State::failed, failed},
        {marker(Status::failed), &k_ours, &k_two, State::failed, failed},
        // What was made of the same name for other content says nothing of this image's.
        {other(Status::complete), &k_ours, nullptr, State::closed, others},
        {other(Status::running), &k_ours, nullptr, State::closed, others},
        {other(Status::failed), &k_ours, nullptr, State::closed, others},
        {other(Status::complete), &k_ours, &k_none, State::open, ""},
        {other(Status::running), &k_ours, &k_none, State::open, ""},
        {other(Status::failed), &k_ours, &k_none, State::open, ""},
        {other(Status::complete), &k_ours, &k_two, State::closed, "2_b is not applied"},
        {other(Status::complete), nullptr, nullptr, State::open, ""},
    };
    for (std::size_t row = 0; row < table.size(); ++row) {
      CAPTURE(row);
      const auto& wanted = table[row];
      const auto seen = view(wanted.marker, wanted.digest, wanted.missing);
      CHECK(static_cast<int>(seen.state) == static_cast<int>(wanted.state));
      CHECK(seen.why == contains(wanted.why));
      CHECK(seen.why.empty() == (seen.state == State::open));
    }
  }

  TEST_CASE("of a run that has begun it is told whether it is at work, was killed, or ended") {
    struct Row {
      std::optional<bool> is_at_work;
      int code;
      std::string why;
    };
    for (const auto& [is_at_work, code, why] : {
             Row{true, 0, "began at noon and is at work"},
             Row{false, 0, "began at noon, but was ended before it could say how"},
             Row{std::nullopt, 0, "nobody has recorded its end"},
             Row{false, 13, "ended with code 13 at noon, and another one may do better: no"},
             Row{std::nullopt, 14, "ended with code 14 at noon"},
             Row{true, 143, "ended with code 143 at noon"},
         }) {
      auto begun = *marker(Status::running);
      begun.error_code = code;
      const auto seen =
          gate_view({.app = "shop", .release = "r1", .scope = {}},
                    {.marker = begun, .digest = k_ours, .is_run_at_work = is_at_work});
      CHECK(static_cast<int>(seen.state) == static_cast<int>(State::closed));
      CHECK(seen.why == contains(why));
    }
  }

  TEST_CASE("one missing migration is told without a count of others") {
    const std::vector<std::string> one{"2_b is not applied"};
    CHECK(view(std::nullopt, &k_ours, &one).why == "2_b is not applied");
  }
}
