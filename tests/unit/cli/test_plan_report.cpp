// What `plan` prints of a forecast, as text and as JSON.

#include <doctest/doctest.h>

#include "schemagate/base/people.hpp"
#include "schemagate/base/text.hpp"
#include "schemagate/cli/plan_report.hpp"

using namespace schemagate;
using namespace std::chrono_literals;

namespace {

constexpr std::int64_t k_gb = std::int64_t{1} << 30;

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

StatementForecast rewrite_of_orders() {
  return {.line = 3,
          .text = "ALTER TABLE orders ALTER total TYPE bigint",
          .impacts = {{"public.orders", LockMode::access_exclusive, Work::rewrite}},
          .estimate = {4min, 7min},
          .remarks = {{.kind = Remark::Kind::safer,
                       .rule = "alter_type",
                       .text = "add a column, fill it, swap",
                       .instead = "ALTER TABLE orders\n  ADD total_new bigint;\n"}}};
}

StatementForecast of_something_new(int line) { return {.line = line, .text = "CREATE TABLE new"}; }

Hold hold_of_orders() {
  return {.relation = "public.orders",
          .lock = LockMode::access_exclusive,
          .from_line = 3,
          .work = Work::rewrite,
          .work_bytes = 41 * k_gb,
          .work_on = "public.orders",
          .estimate = {4min, 7min}};
}

PlanReport report_of(std::vector<SegmentForecast> segments) {
  PlanReport report;
  report.app = "shop";
  report.release = "3.2.0";
  report.database = "db.example.com:5432/shop";
  report.schema = "public";
  report.folder = "migrations";
  report.folder_count = 15;
  report.forecast.server_major_version = 17;
  report.forecast.migrations = {
      {.name = "3_total", .path = "migrations/3_total.sql", .segments = std::move(segments)}};
  report.forecast.relations["public.orders"] = {.oid = 1,
                                                .heap_bytes = 41 * k_gb,
                                                .index_bytes = 12 * k_gb,
                                                .rows = 210e6,
                                                .traffic = Traffic{119.6, 0.2}};
  return report;
}

PlanReport usual_report() {
  return report_of({{.statements = {of_something_new(1), rewrite_of_orders(), of_something_new(5)},
                     .holds = {hold_of_orders()}}});
}

}  // namespace

TEST_SUITE("plan report") {
  TEST_CASE("what makes people wait comes first, then the tables, then each statement") {
    CHECK(
        as_text(usual_report()) ==
        "app shop, release 3.2.0\n"
        "database db.example.com:5432/shop, schema public\n"
        "migrations: 15 migrations, 1 pending\n"
        "\n"
        "- public.orders (41 GB): nobody reads or writes it for 4 to 7 min: "
        "migrations/3_total.sql:3\n"
        "\n"
        "what is there already, and is locked or changed:\n"
        "  public.orders: 41 GB and 12 GB of indexes, 210 million rows, 120 scans/s, 0 rows written/s\n"
        "\n"
        "migrations/3_total.sql\n"
        "     3  ALTER TABLE orders ALTER total TYPE bigint\n"
        "        public.orders: reads and writes wait (ACCESS EXCLUSIVE); all rows are written anew: 4 "
        "to 7 min\n"
        "        safer: add a column, fill it, swap\n"
        "            ALTER TABLE orders\n"
        "              ADD total_new bigint;\n"
        "     - 2 more statements that touch nothing that is there already\n"
        "     - public.orders: reads and writes wait from line 3 to COMMIT; all rows are written anew, "
        "41 GB in all: 4\n"
        "       to 7 min\n");
  }

  TEST_CASE("locks that last a moment raise no alarm, and new things are one line") {
    auto report = report_of({{.statements = {of_something_new(1), of_something_new(2)}}});
    report.forecast.relations.clear();
    auto text = as_text(report);
    CHECK(holds(text, "\n- nobody waits longer than a moment\n"));
    CHECK(holds(text, "migrations/3_total.sql: 2 statements that touch nothing that is there "
                      "already\n"));
    CHECK_FALSE(holds(text, "CREATE TABLE"));
    auto short_hold = hold_of_orders();
    short_hold.work = Work::catalogue;
    short_hold.estimate = {};
    auto quick = rewrite_of_orders();
    quick.impacts.front().work = Work::catalogue;
    quick.estimate = {};
    text = as_text(report_of({{.statements = {quick, quick}, .holds = {short_hold}}}));
    CHECK(holds(text, "\n- nobody waits longer than a moment\n"));
    CHECK(holds(text, "reads and writes wait (ACCESS EXCLUSIVE); no row is read: at once\n"));
    CHECK_FALSE(holds(text, "to COMMIT"));
  }

  TEST_CASE("without a database nobody knows how long, and nothing is said to be at once") {
    auto report = usual_report();
    report.database.clear();
    report.forecast.relations.clear();
    report.forecast.server_major_version = 0;
    auto& segment = report.forecast.migrations.front().segments.front();
    segment.statements.at(1).estimate = {};
    segment.holds.front().estimate = {};
    segment.holds.front().work_bytes = 0;
    const auto text = as_text(report);
    CHECK(holds(text, "without a database, for PostgreSQL of the newest version that is known\n"));
    CHECK(holds(text, "- public.orders: nobody reads or writes it while all rows are written anew: "
                      "migrations/3_total.sql:3\n"));
    CHECK(holds(text, "(ACCESS EXCLUSIVE); all rows are written anew\n"));
    CHECK_FALSE(holds(text, "at once"));
  }

  TEST_CASE("what is lost, what breaks the app and what nobody knows is in the summary, bounded") {
    SegmentForecast segment;
    for (int i = 1; i <= 7; ++i)
      segment.statements.push_back(
          {.line = i,
           .text = "DROP TABLE t" + std::to_string(i),
           .remarks = {{Remark::Kind::destructive, "drop_table", "t is gone"},
                       {Remark::Kind::incompatible, "drop_table", "the app reads t"}}});
    segment.statements.push_back(
        {.line = 8, .text = "DO $$", .remarks = {{Remark::Kind::unknown, "do", "it is code"}}});
    const auto text = as_text(report_of({segment}));
    CHECK(holds(text, "- lost: t is gone: migrations/3_total.sql:5\n- lost: 2 more, below\n"));
    CHECK(holds(text, "- breaks: the app reads t: migrations/3_total.sql:1\n"));
    CHECK(holds(text, "- not known: what 1 statement would do\n"));
    CHECK(holds(text, "     7  DROP TABLE t7\n        lost: t is gone\n"));
  }

  TEST_CASE("each part of a migration that is no one transaction says why") {
    const auto text = as_text(report_of(
        {{.statements = {of_something_new(1)}},
         {.transactional = false,
          .reason = "CREATE INDEX CONCURRENTLY refuses transactions",
          .statements = {
              {.line = 2,
               .text = "CREATE INDEX CONCURRENTLY i ON orders (id)",
               .impacts = {{"public.orders", LockMode::share_update_exclusive, Work::index}},
               .estimate = {1min, 2min}}}}}));
    CHECK(holds(text, "  in one transaction\n"));
    CHECK(
        holds(text, "  outside of transactions: CREATE INDEX CONCURRENTLY refuses transactions\n"));
    CHECK(holds(text,
                "public.orders: nobody waits (SHARE UPDATE EXCLUSIVE); an index is built: 1 to "
                "2 min\n"));
  }

  TEST_CASE("a statement outside of transactions that makes people wait is in the summary, too") {
    const auto text = as_text(report_of(
        {{.transactional = false,
          .statements = {{.line = 4,
                          .text = "VACUUM FULL orders",
                          .impacts = {{"public.orders", LockMode::access_exclusive, Work::rewrite}},
                          .estimate = {4min, 7min}}}}}));
    CHECK(holds(text, "- public.orders (41 GB): nobody reads or writes it for 4 to 7 min: "
                      "migrations/3_total.sql:4\n"));
  }

  TEST_CASE("how long rows are changed nobody knows, and in a small table it is no matter") {
    auto hold = hold_of_orders();
    hold.work = Work::rows;
    hold.estimate = {};
    auto report = report_of({{.statements = {of_something_new(1)}, .holds = {hold}}});
    CHECK(holds(as_text(report), "nobody reads or writes it while rows are changed: "));
    report.forecast.relations["public.orders"].heap_bytes = 8192;
    CHECK(holds(as_text(report), "- nobody waits longer than a moment\n"));
  }

  TEST_CASE("what the policies refuse and allow is told, with what would allow it") {
    auto report = usual_report();
    report.policies = {{.migration = "3_total",
                        .rule = "rewrite",
                        .location = "migrations/3_total.sql:3:1",
                        .text = "orders is written anew",
                        .level = Policy::fail},
                       {.migration = "3_total",
                        .rule = "scan",
                        .location = "migrations/3_total.sql:4:1",
                        .text = "orders is read",
                        .level = Policy::allow,
                        .because = "at night"},
                       {.migration = "3_total",
                        .rule = "index",
                        .location = "migrations/3_total.sql:5:1",
                        .text = "an index",
                        .level = Policy::warn}};
    report.refused = Failure{ExitCode::refused, "refused by policy", "allow it"};
    CHECK(holds(as_text(report),
                "\nby the manifest's policies:\n"
                "- refused: migrations/3_total.sql:3:1: rewrite: orders is written anew\n"
                "- allowed: migrations/3_total.sql:4:1: scan: orders is read; because: at night\n"
                "hint: allow it\n\n"));
    Json document;
    add_plan(document, report);
    CHECK(holds(document.line(), R"("error":"refused by policy","hint":"allow it")"));
    CHECK(holds(document.line(), R"("level":"warn","migration":"3_total","rule":"index")"));
  }

  TEST_CASE("nothing pending is said, and no more") {
    auto report = usual_report();
    report.forecast = {};
    report.remarks = {"something else"};
    CHECK(as_text(report) == "app shop, release 3.2.0\n"
                             "database db.example.com:5432/shop, schema public\n"
                             "migrations: 15 migrations, none pending\n"
                             "\n"
                             "remark: something else\n");
  }

  TEST_CASE("names and scripts of others write no lines of their own, and reach no terminal") {
    auto report = usual_report();
    const std::string evil = "\"a\x1b[31m\nlost: everything\"";
    auto& segment = report.forecast.migrations.front().segments.front();
    segment.statements.at(1).impacts.front().relation = evil;
    segment.statements.at(1).text = "SELECT '\n```\n'";
    segment.holds.front().relation = evil;
    report.forecast.relations[evil] = {};
    const auto text = as_text(report);
    CHECK_FALSE(holds(text, "\x1b"));
    for (const auto& line : split(text, '\n')) {
      CHECK_FALSE(line.starts_with("lost"));
      CHECK_FALSE(line.starts_with("```"));
    }
  }

  TEST_CASE("a roll-back shows only what an app of that release would notice") {
    auto report = usual_report();
    report.since = "3.1.0";
    report.since_at = "2026-11-20 10:00:00 UTC";
    auto& segments = report.forecast.migrations.front().segments;
    auto text = as_text(report);
    CHECK(holds(text, "release 3.1.0 was complete at 2026-11-20 10:00:00 UTC: 1 migration applied "
                      "since\n"));
    CHECK(holds(text, "- nothing breaks an app of 3.1.0, as far as the scripts tell\n"));
    CHECK(holds(text, "migrations/3_total.sql: nothing that an app would notice\n"));
    CHECK_FALSE(holds(text, "wait"));
    segments.front().statements.at(1).remarks.push_back(
        {Remark::Kind::incompatible, "alter_type", "it reads integers"});
    text = as_text(report);
    CHECK(holds(text, "- breaks: it reads integers: migrations/3_total.sql:3\n"));
    CHECK_FALSE(holds(text, "safer"));
  }

  TEST_CASE("the document for programs holds all of it, and no rate of what happens is 0") {
    Json document;
    add_plan(document, usual_report());
    const auto text = document.line();
    for (
        const char* part :
        {R"("database":"db.example.com:5432/shop")", R"("server_version":17)",
         R"("path":"migrations/3_total.sql")", R"("transactional":true)", R"("line":3)",
         R"("relation":"public.orders","lock":"ACCESS EXCLUSIVE","waits":"reads and writes","work":"rewrite")",
         R"("low_ms":240000,"high_ms":420000)", R"("kind":"safer","rule":"alter_type")",
         R"("work_bytes":44023414784)", R"("rows":210000000,"reads_per_s":120,"writes_per_s":1)"})
      CHECK_MESSAGE(holds(text, part), text);
    CHECK_FALSE(holds(text, "since"));
  }
}

TEST_SUITE("people") {
  TEST_CASE("sizes are told as PostgreSQL tells them, in no more than two digits or three") {
    CHECK(size_for_people(0) == "0 bytes");
    CHECK(size_for_people(1023) == "1023 bytes");
    CHECK(size_for_people(8192) == "8 kB");
    CHECK(size_for_people(1536) == "1.5 kB");
    CHECK(size_for_people(1024 * 1024 - 1) == "1 MB");
    CHECK(size_for_people(41 * k_gb) == "41 GB");
    CHECK(size_for_people(5000 * 1024 * k_gb) == "5000 TB");
  }

  TEST_CASE("numbers are told in words from ten thousand on") {
    CHECK(number_for_people(0) == "0");
    CHECK(number_for_people(999) == "999");
    CHECK(number_for_people(9807) == "9,807");
    CHECK(number_for_people(12'345) == "12 thousand");
    CHECK(number_for_people(999'999) == "1 million");
    CHECK(number_for_people(2.14e8) == "214 million");
    CHECK(number_for_people(1.5e9) == "1.5 billion");
  }

  TEST_CASE("a guessed time is a range in one unit, rounded outwards") {
    CHECK(range_for_people(0ms, 400ms) == "under 1 s");
    CHECK(range_for_people(300ms, 1200ms) == "up to 2 s");
    CHECK(range_for_people(4min, 7min) == "4 to 7 min");
    CHECK(range_for_people(30s, 400s) == "up to 7 min");
    CHECK(range_for_people(2s, 2s) == "2 s");
    CHECK(range_for_people(2h, 5h) == "2 to 5 h");
  }
}
