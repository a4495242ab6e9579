// The network cuts a run at each of its messages, delays it, tears it into bytes, or is not there
// yet.

#include <atomic>
#include <future>

#include "support/deployment.hpp"
#include "support/proxy.hpp"
#include "support/trials.hpp"

using namespace testing;
using Lines = std::vector<std::string>;

namespace {

// One of each kind. All but the last end by saying so in a table, so that it shows when one is
// applied twice, or without its row in the history.
void add_migrations(const Deployment& shop) {
  shop.migration("1_init", "CREATE TABLE done (name text);\n"
                           "CREATE TABLE orders (id int PRIMARY KEY, amount int);\n"
                           "CREATE TYPE mood AS ENUM ('sad');\n"
                           "INSERT INTO orders SELECT i, i FROM generate_series(1, 50) i;\n"
                           "INSERT INTO done VALUES ('1_init');\n");
  shop.migration("2_own_transactions",
                 "BEGIN;\nALTER TABLE orders ADD note text;\nCOMMIT;\n"
                 "BEGIN;\nINSERT INTO done VALUES ('2_own_transactions');\nCOMMIT;\n");
  shop.migration("3_index_between",
                 "INSERT INTO orders VALUES (51, 51);\n"
                 "CREATE INDEX CONCURRENTLY orders_by_amount ON orders (amount);\n"
                 "INSERT INTO done VALUES ('3_index_between');\n");
  shop.migration("4_enum", "ALTER TYPE mood ADD VALUE 'glad';\n"
                           "CREATE TABLE moods AS SELECT 'glad'::mood AS mood;\n"
                           "INSERT INTO done VALUES ('4_enum');\n");
  shop.migration("5_index",
                 "CREATE UNIQUE INDEX CONCURRENTLY orders_by_note ON orders (note, id);\n");
}

// A deployment that is used again and again, which is much cheaper than a database for each trial.
struct ReusedShop {
  ReusedShop() { add_migrations(deployment); }

  void empty() {
    session.execute("DROP SCHEMA IF EXISTS schemagate CASCADE; DROP SCHEMA public CASCADE;"
                    "CREATE SCHEMA public");
  }
  Lines column(const std::string& sql) {
    Lines values;
    for (const auto& row : session.query(sql)) values.push_back(row.at(0).value_or("NULL"));
    return values;
  }
  bool has(const std::string& table) {
    return column("SELECT 1 FROM pg_class WHERE oid = to_regclass('" + table + "')").size() == 1;
  }
  bool is_complete() {
    return has("schemagate.marker") &&
           joined(column("SELECT status FROM schemagate.marker")) == "complete";
  }
  Lines outcome();
  void check_history_agrees();
  void check_all_is_given_back();
  testing::Result run_undisturbed();

  Deployment deployment;
  schemagate::pg::Session session = deployment.database().connect();
};

// Schema, rows, history and marker.
Lines ReusedShop::outcome() {
  return column(R"sql(
    SELECT format('column %s.%s %s', attrelid::regclass, attname, atttypid::regtype)
      FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
     WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
    UNION ALL
    SELECT format('index %s, valid %s', pg_get_indexdef(indexrelid), indisvalid)
      FROM pg_index JOIN pg_class c ON c.oid = indrelid
     WHERE relnamespace = 'public'::regnamespace
    UNION ALL SELECT format('label %s', enumlabel) FROM pg_enum
    UNION ALL SELECT format('order %s %s', id, amount) FROM orders
    UNION ALL SELECT format('mood %s', mood) FROM moods
    UNION ALL SELECT format('done %s', name) FROM done
    UNION ALL SELECT format('history %s, finished %s', migration_name, finished_at IS NOT NULL)
      FROM _prisma_migrations
    UNION ALL SELECT format('marker %s', status) FROM schemagate.marker
    ORDER BY 1)sql");
}

// A migration is in the history as finished when, and only when, what it does is there.
void ReusedShop::check_history_agrees() {
  const auto finished = has("_prisma_migrations")
                            ? column("SELECT migration_name FROM _prisma_migrations"
                                     " WHERE finished_at IS NOT NULL ORDER BY 1")
                            : Lines{};
  auto done = has("done") ? column("SELECT name FROM done ORDER BY 1") : Lines{};
  if (!finished.empty() && finished.back() == "5_index") {
    done.emplace_back("5_index");
    CHECK(joined(column("SELECT indisvalid FROM pg_index"
                        " WHERE indexrelid = 'orders_by_note'::regclass")) == "t");
  }
  CHECK(joined(finished) == joined(done));
}

void ReusedShop::check_all_is_given_back() {
  CHECK(joined(column("SELECT expires_at = '-infinity' FROM schemagate.lock")) == "t");
  CHECK(eventually([&] {
    return column("SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                  " AND application_name LIKE 'schemagate%'")
        .empty();
  }));
}

testing::Result ReusedShop::run_undisturbed() {
  // Otherwise it would have to wait until the lease of a run that was cut off has expired: 30 s.
  expire_lease(session);
  deployment.settings.url.clear();
  return deployment.run();
}

// What an undisturbed run sends and leaves.
struct Undisturbed {
  std::string messages;
  Lines outcome;
};
Undisturbed undisturbed() {
  const Proxy proxy;
  ReusedShop shop;
  shop.deployment.settings.url = proxy.url_of(shop.deployment.database());
  REQUIRE(shop.deployment.run() == exits(0));
  REQUIRE(shop.is_complete());
  shop.check_history_agrees();
  shop.check_all_is_given_back();
  return {proxy.client_messages(), shop.outcome()};
}

// The exit code of a run with a fault at message `number`, or -1 when it was over before.
int trial(ReusedShop& shop, const Undisturbed& expected, Proxy::Fault fault, int number) {
  const Proxy proxy{Proxy::Plan{
      .fault = fault,
      .when = [number](const Proxy::Message& message) { return message.number == number; },
      .cut = number % 2 == 0 ? Proxy::Cut::fin : Proxy::Cut::reset}};
  shop.deployment.settings.url = proxy.url_of(shop.deployment.database());
  shop.empty();
  const auto disturbed = shop.deployment.run();
  INFO("fault ", static_cast<int>(fault), " at message ", number, "\n", disturbed.err);
  CHECK((disturbed == exits(0) || disturbed == exits(14)));
  shop.check_history_agrees();
  if (disturbed.exit_code == 0) CHECK(shop.is_complete());
  if (shop.is_complete()) CHECK(shop.outcome() == expected.outcome);

  const auto again = shop.run_undisturbed();
  INFO("then:\n", again.err);
  CHECK(again == exits(0));
  CHECK(shop.outcome() == expected.outcome);
  shop.check_all_is_given_back();
  return proxy.has_struck() ? disturbed.exit_code : -1;
}

// At each (or each `step`th) message of one of these types, two trials at a time. How many there
// were.
int try_at_each(const std::string& types, Proxy::Fault fault, std::size_t step = 1) {
  step *= testing::each_nth();
  const auto expected = undisturbed();
  std::vector<int> numbers;
  for (std::size_t i = 0; i < expected.messages.size(); ++i)
    if (types.find(expected.messages[i]) != std::string::npos)
      numbers.push_back(static_cast<int>(i) + 1);
  std::atomic<std::size_t> next = 0;
  std::atomic<int> times = 0;
  const auto work = [&] {
    ReusedShop shop;
    for (std::size_t i = 0; (i = next.fetch_add(step)) < numbers.size();)
      if (trial(shop, expected, fault, numbers[i]) >= 0) ++times;
  };
  auto other = std::async(std::launch::async, work);
  work();
  other.get();
  CHECK(times > static_cast<int>(numbers.size() / step) / 2);
  return times;
}

constexpr const char* k_cut =
    "exit 0 or 14; history and schema agree, no gate opens early; the next run completes, nothing "
    "is applied twice";

}  // namespace

TEST_SUITE_BEGIN("sweep");

TEST_CASE("whichever message of a run is lost, nothing is half done and the next run completes") {
  // Between a P and its S the server does nothing that lasts: there these two are enough.
  const int times = try_at_each("01PSQX", Proxy::Fault::request_lost);
  testing::record({.fault = "connection cut (FIN and RST in turn), the message lost",
                   .where = "each message of a run, one after the other",
                   .seen = k_cut},
                  times);
}

TEST_CASE("whichever answer is lost, nothing is half done and the next run completes") {
  // The server answers these only; the others are answered with the S (sync) that follows them.
  const int times = try_at_each("01SQ", Proxy::Fault::answer_lost);
  testing::record(
      {.fault = "connection cut (FIN and RST in turn), the message done, its answer lost",
       .where = "each message of a run, one after the other",
       .seen = k_cut},
      times);
}

TEST_CASE("a message that is cut in its middle, either way, does no harm") {
  const int times = try_at_each("01SQ", Proxy::Fault::request_torn, 5) +
                    try_at_each("01SQ", Proxy::Fault::answer_torn, 5);
  testing::record({.fault = "connection cut in the middle of a message or of an answer",
                   .where = "each fifth message of a run",
                   .seen = k_cut},
                  times);
}

TEST_SUITE_END();

TEST_CASE("run and gate work through a network that is slow or delivers single bytes") {
  const auto expected = undisturbed();
  testing::Trial trial{
      .fault = "", .where = "run, second run and gate", .seen = "as always, only later"};
  Proxy::Pace pace;
  SUBCASE("slow") {
    pace.pause = std::chrono::milliseconds{10};
    trial.fault = "each packet delayed by up to 10 ms";
  }
  SUBCASE("in fragments") {
    pace = {.pause = std::chrono::microseconds{200}, .size_max = 40};
    trial.fault = "each message in fragments of 1 to 40 bytes, with pauses";
  }
  SUBCASE("byte by byte") {
    pace = {.pause = std::chrono::microseconds{1}, .size_max = 1};
    trial.fault = "each message byte by byte";
  }
  const Proxy proxy{pace};
  ReusedShop shop;
  shop.deployment.settings.url = proxy.url_of(shop.deployment.database());
  shop.deployment.settings.rest = "gate: {timeout: 60s}\n";
  CHECK(shop.deployment.run() == exits(0));
  CHECK(shop.outcome() == expected.outcome);
  CHECK(shop.deployment.run() == exits(0, "nothing to do"));
  const auto gate =
      testing::schemagate({"gate"}, {.environment = {}, .directory = shop.deployment.dir().path()});
  CHECK(gate == exits(0));
  shop.check_all_is_given_back();
  testing::record(trial);
}

TEST_CASE("a server that is away at first is waited for") {
  Proxy proxy;
  ReusedShop shop;
  shop.deployment.settings.url = proxy.url_of(shop.deployment.database());
  testing::Trial trial{
      .fault = "", .where = "at the start", .seen = "exit 0: run waits for the database"};
  Proxy::Network network = Proxy::Network::normal;
  SUBCASE("connections refused") {
    network = Proxy::Network::refusing;
    trial.fault = "connections refused for 2 s";
  }
  SUBCASE("packets lost") {
    network = Proxy::Network::black_hole;
    trial.fault = "all packets lost for 2 s";
  }
  proxy.set(network);
  auto run = shop.deployment.start();
  if (network == Proxy::Network::refusing) CHECK(run.says("waiting for the database"));
  std::this_thread::sleep_for(std::chrono::seconds{2});
  CHECK(run.is_running());
  CHECK(!shop.has("schemagate.lock"));
  proxy.set(Proxy::Network::normal);
  CHECK(run.wait() == exits(0));
  CHECK(shop.is_complete());
  testing::record(trial);
}

TEST_CASE("a COMMIT whose answer is lost is read back where work hangs on it") {
  // Which COMMIT of the run, what the run then says.
  struct Commit {
    const char* where;
    const char* before;  // the first COMMIT after a message that holds this
    bool read_back;
  };
  const Commit commits[] = {
      {"creating our tables", "CREATE TABLE \"schemagate\".lock", false},
      {"beginning the run", "INSERT INTO \"schemagate\".run", false},
      {"marker: running", "INSERT INTO \"schemagate\".marker", false},
      {"creating the history table", "CREATE TABLE \"public\".\"_prisma_migrations\"", false},
      {"a migration in one transaction", "VALUES ('1_init')", true},
      {"a migration with its own BEGIN and COMMIT", "VALUES ('2_own_transactions')", true},
      {"beginning a migration of several parts", "VALUES ($1, $2, $3, clock_timestamp(), 0)",
       false},
      {"a part of a migration", "VALUES (51, 51)", true},
      {"the last part of a migration", "VALUES ('3_index_between')", true},
      {"before a statement outside a transaction", "ON CONFLICT (migration_id, segment)", false},
      {"marker: complete", "pg_notify", true}};
  const auto expected = undisturbed();
  ReusedShop shop;
  for (const auto& commit : commits) {
    const Proxy proxy{Proxy::Plan{
        .fault = Proxy::Fault::answer_lost,
        .when = [text = std::string{commit.before}, seen = false](const auto& message) mutable {
          seen = seen || std::string{message.bytes} == contains(text);
          return seen && message.type == 'Q' &&
                 message.bytes.substr(5) == std::string_view{"COMMIT\0", 7};
        }}};
    shop.deployment.settings.url = proxy.url_of(shop.deployment.database());
    shop.empty();
    const auto result = shop.deployment.run();
    INFO(commit.where, "\n", result.err);
    CHECK(proxy.has_struck());
    CHECK(result == exits(commit.read_back ? 0 : 14));
    const bool says_so = result.err == contains("the COMMIT had taken place") ||
                         result.err == contains("is complete, as read back after");
    CHECK(says_so == commit.read_back);
    shop.check_history_agrees();
    CHECK(shop.run_undisturbed() == exits(0));
    CHECK(shop.outcome() == expected.outcome);
    testing::record({.fault = "COMMIT done, its answer lost",
                     .where = commit.where,
                     .seen = commit.read_back
                                 ? "read back as done: exit 0"
                                 : "exit 14; the next run finds it done and completes"});
  }
}
