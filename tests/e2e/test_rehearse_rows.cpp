// `schemagate rehearse` with some of the rows: what these refer to is there as well, so that
// nothing fails for a reason that the copying made.

#include <doctest/doctest.h>

#include <optional>

#include "history_fixture.hpp"

using namespace testing;

namespace {

// A copy of its database that is kept until the next one is made.
struct KeptShop : Shop {
  explicit KeptShop(const std::string& tables) {
    migration("1_tables", tables);
    REQUIRE(run() == exits(0));
  }
  ~KeptShop() {
    try {
      drop();
    } catch (const std::exception&) {  // the cluster goes away soon
    }
  }
  KeptShop(const KeptShop&) = delete;
  KeptShop& operator=(const KeptShop&) = delete;

  Json rehearse(std::vector<std::string> words, int exit_code = 0) {
    drop();
    words.insert(words.begin(), {"rehearse", "--keep", "--json"});
    const auto result = call(words);
    INFO(result.out << result.err);
    CHECK(result.exit_code == exit_code);
    CHECK(result.out + result.err != contains("geheim-"));
    auto json = Json::parse(result.out);
    kept_ = json.at("kept").at("database");
    copy_.emplace("postgresql://postgres@" + server_host() + ":" + server_port() + "/" + kept_);
    return json;
  }
  [[nodiscard]] std::string in_copy(const std::string& sql) {
    return copy_->query(sql).at(0).text(0);
  }
  // Foreign keys of the copy that do not hold.
  [[nodiscard]] std::string not_valid() {
    return in_copy("SELECT coalesce(string_agg(conname, ' ' ORDER BY conname), '') FROM "
                   "pg_constraint WHERE contype = 'f' AND NOT convalidated");
  }
  [[nodiscard]] std::string foreign_keys() {
    return in_copy("SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conparentid = 0");
  }
  void drop() {
    copy_.reset();
    if (!kept_.empty()) database().execute("DROP DATABASE " + kept_);
    kept_.clear();
  }

 private:
  std::string kept_;
  std::optional<schemagate::pg::Session> copy_;
};

// Of each table that is told, its rows and why not all.
std::string told(const Json& report) {
  std::string all;
  for (const auto& one : report.at("copy").at("rows"))
    all += std::to_string(one.at("rows").get<int>()) + " " + one.at("table").get<std::string>() +
           " (" + one.at("why_not_all").get<std::string>() + ")\n";
  return all;
}

constexpr const char* k_shop =
    "CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL);\n"
    "CREATE TABLE orders (id serial PRIMARY KEY, customer_id int NOT NULL REFERENCES customers);\n";
constexpr const char* k_shop_rows =
    "INSERT INTO customers (name) SELECT 'geheim-' || g FROM generate_series(1, 3000) g;"
    "INSERT INTO orders (customer_id) SELECT 1 + g % 1204 FROM generate_series(1, 4000) g; ANALYZE";
constexpr const char* k_wider = "ALTER TABLE orders ALTER customer_id TYPE bigint;\n"
                                "UPDATE orders SET customer_id = customer_id;\n"
                                "INSERT INTO customers (name) VALUES ('new');\n";

}  // namespace

TEST_CASE("rows that are copied bring those that they refer to") {
  KeptShop shop{k_shop};
  shop.database().execute(k_shop_rows);
  shop.migration("2_wider", k_wider);
  const auto json = shop.rehearse({"--with-data", "orders"});
  CHECK(told(json) == "4000 public.orders ()\n"
                      "1204 public.customers (only those that are referred to)\n");
  CHECK(shop.not_valid() == "");
  CHECK(shop.foreign_keys() == "1");
  CHECK(shop.in_copy("SELECT max(id) FROM customers") == "3001");
  const auto text = shop.call({"rehearse", "--with-data", "orders"});
  CHECK(text == exits(0));
  CHECK(text.out == contains("     1204  public.customers (only those that are referred to)\n"));
}

TEST_CASE("a sample of rows satisfies its foreign keys") {
  KeptShop shop{k_shop};
  shop.database().execute(k_shop_rows);
  shop.migration("2_wider", k_wider);
  (void)shop.rehearse({"--sample", "5%"});
  CHECK(shop.not_valid() == "");
  CHECK(shop.foreign_keys() == "1");
  CHECK(shop.in_copy("SELECT count(*) < 4000 FROM orders") == "t");
  CHECK(shop.in_copy("SELECT count(*) FROM orders o LEFT JOIN customers c ON c.id = customer_id "
                     "WHERE c.id IS NULL") == "0");
}

TEST_CASE("foreign keys of every shape are satisfied by the rows that are copied") {
  KeptShop shop{
      "CREATE COLLATION plain (locale = 'C'); CREATE DOMAIN code AS varchar(20);\n"
      "CREATE TYPE kind AS ENUM ('a', 'it''s \\ odd');\n"
      // Several columns, in another order than the key's; not the primary key; other types.
      "CREATE TABLE pairs (b text COLLATE plain, a bigint, k kind, d date, n int GENERATED ALWAYS "
      "AS IDENTITY UNIQUE, twice bigint GENERATED ALWAYS AS (a * 2) STORED, UNIQUE (k, a, b, d));\n"
      "CREATE TABLE uses (id int, a int, b code, k kind, d date, FOREIGN KEY (a, b, k, d) "
      "REFERENCES pairs (a, b, k, d), n int REFERENCES pairs (n));\n"
      // All or none.
      "CREATE TABLE whole (a int, b int, PRIMARY KEY (a, b));\n"
      "CREATE TABLE parts (id int, a int, b int, FOREIGN KEY (a, b) REFERENCES whole MATCH FULL);\n"
      // To itself, and in a circle.
      "CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree, twin int);\n"
      "CREATE TABLE twins (id int PRIMARY KEY, tree int REFERENCES tree DEFERRABLE);\n"
      "ALTER TABLE tree ADD FOREIGN KEY (twin) REFERENCES twins;\n"
      "CREATE TABLE leaves (id int, tree int REFERENCES tree);\n"};
  shop.database().execute(
      "INSERT INTO pairs (a, b, k, d) SELECT g, 'geheim-' || g, (enum_range(NULL::kind))[1 + g % 2], "
      "date '2026-01-31' + g FROM generate_series(1, 900) g;"
      "INSERT INTO uses SELECT n, CASE WHEN n % 7 > 0 THEN a END, b, k, d, 901 - n FROM pairs WHERE "
      "n <= 450; INSERT INTO whole SELECT g, g FROM generate_series(1, 500) g;"
      "INSERT INTO parts SELECT g, g, g FROM generate_series(1, 250) g; INSERT INTO parts VALUES (0);"
      "INSERT INTO tree SELECT g, nullif(g - 1, 0) FROM generate_series(1, 100) g;"
      "INSERT INTO twins SELECT g + 1000, g FROM generate_series(50, 99) g;"
      "UPDATE tree SET twin = 1000 + id + 1 WHERE id BETWEEN 49 AND 98;"
      "INSERT INTO leaves SELECT g, 60 FROM generate_series(1, 10) g");
  shop.migration("2_more", "ALTER TABLE leaves ADD x int;\n");
  const auto json = shop.rehearse({"--with-data", "uses,parts,leaves"});
  const std::string why = " (only those that are referred to)\n";
  CHECK(told(json) == "450 public.uses ()\n251 public.parts ()\n10 public.leaves ()\n836 "
                      "public.pairs" +
                          why + "250 public.whole" + why + "99 public.tree" + why +
                          "50 public.twins" + why);
  CHECK(shop.not_valid() == "");
  CHECK(shop.foreign_keys() == "7");
  CHECK(shop.in_copy("SELECT count(*) FROM uses u JOIN pairs p ON p.a = u.a AND p.b = u.b") ==
        shop.database().value("SELECT count(*) FROM uses WHERE a IS NOT NULL"));
}

TEST_CASE("rows of partitions are found, whichever end of a foreign key has them") {
  KeptShop shop{
      "CREATE TABLE owners (id int PRIMARY KEY);\n"
      "CREATE TABLE days (n serial, d int, r text, owner int, PRIMARY KEY (d, r)) PARTITION BY "
      "RANGE (d);\n"
      "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (100);\n"
      "CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (100) TO (200) PARTITION BY LIST (r);\n"
      "CREATE TABLE days_2a (r text NOT NULL, owner int, gone int, d int NOT NULL, n int NOT NULL);\n"
      "ALTER TABLE days_2a DROP gone;\n"
      "ALTER TABLE days_2 ATTACH PARTITION days_2a FOR VALUES IN ('a');\n"
      "CREATE TABLE days_2b PARTITION OF days_2 DEFAULT;\n"
      "ALTER TABLE days_2a ADD CONSTRAINT of_a_part FOREIGN KEY (owner) REFERENCES owners;\n"
      "CREATE TABLE stamps (d int, r text, id int, FOREIGN KEY (d, r) REFERENCES days) PARTITION BY "
      "HASH (id);\n"
      "CREATE TABLE stamps_1 PARTITION OF stamps FOR VALUES WITH (MODULUS 2, REMAINDER 0);\n"
      "CREATE TABLE stamps_2 PARTITION OF stamps FOR VALUES WITH (MODULUS 2, REMAINDER 1);\n"};
  shop.database().execute(
      "INSERT INTO owners SELECT generate_series(1, 300);"
      "INSERT INTO days (d, r, owner) SELECT g, CASE WHEN g % 2 = 0 THEN 'a' ELSE 'geheim-' END, "
      "g + 1 FROM generate_series(0, 199) g;"
      "INSERT INTO stamps SELECT d, r, d FROM days WHERE d BETWEEN 90 AND 109");
  shop.migration("2_more", "INSERT INTO days (d, r) VALUES (1, 'new');\n"
                           "ALTER TABLE days ALTER n SET NOT NULL, ADD UNIQUE (n, d, r);\n");
  const auto json = shop.rehearse({"--with-data", "stamps"});
  CHECK(told(json) == contains("20 public.days (only those that are referred to)\n"));
  CHECK(told(json) == contains("5 public.owners (only those that are referred to)\n"));
  CHECK(shop.not_valid() == "");
  CHECK(shop.foreign_keys() == "2");
  CHECK(shop.in_copy("SELECT count(*) FROM stamps JOIN days USING (d, r)") == "20");
  CHECK(shop.in_copy("SELECT max(n) FROM days") == "201");
  (void)shop.rehearse({"--with-data", "stamps_2"});
  CHECK(shop.not_valid() == "");
  CHECK(shop.foreign_keys() == "2");
}

TEST_CASE("rows that are referred to and that the live database lacks are told") {
  KeptShop shop{"CREATE TABLE customers (id int PRIMARY KEY);\n"
                "CREATE TABLE orders (id int, customer int, other int REFERENCES customers);\n"};
  shop.database().execute("INSERT INTO customers SELECT generate_series(1, 10);"
                          "INSERT INTO orders SELECT g, g FROM generate_series(4, 13) g");
  shop.migration("2_late", "ALTER TABLE orders ADD CONSTRAINT late FOREIGN KEY (customer) "
                           "REFERENCES customers NOT VALID;\n");
  REQUIRE(shop.run() == exits(0));
  shop.migration("3_more", "ALTER TABLE orders ADD x int;\n");
  const std::string late =
      "late refers to 3 rows that public.customers lacks in the live database, too";
  auto json = shop.rehearse({"--with-data", "orders"});
  CHECK(told(json) ==
        "10 public.orders (" + late + ")\n7 public.customers (only those that are referred to)\n");
  CHECK(shop.not_valid() == "late");
  shop.database().execute("SET session_replication_role = replica; UPDATE orders SET other = 77");
  json = shop.rehearse({"--with-data", "orders"});
  CHECK(told(json) == contains("foreign key orders_other_fkey does not hold for the rows copied, "
                               "and is NOT VALID there"));
  CHECK(told(json) ==
        contains("orders_other_fkey refers to 1 row that public.customers lacks in the "
                 "live database, too"));
  CHECK(shop.not_valid() == "late orders_other_fkey");
  shop.migration("3_more", "ALTER TABLE orders VALIDATE CONSTRAINT late;\n");
  (void)shop.rehearse({"--with-data", "orders"}, 21);
  CHECK(shop.run() == exits(21));
}

TEST_CASE("rows that are referred to and may not be read are told, and their key is NOT VALID") {
  KeptShop shop{std::string{k_shop} +
                "CREATE SCHEMA crm; CREATE TABLE crm.people (id int PRIMARY KEY);\n"
                "ALTER TABLE orders ADD by int REFERENCES crm.people;\n"};
  shop.database().execute(std::string{k_shop_rows} +
                          "; INSERT INTO crm.people VALUES (7); UPDATE orders SET by = 7");
  shop.migration("2_more", "ALTER TABLE orders ADD x int;\n");
  const auto role = "narrow_" + shop.database().name();
  shop.database().execute("CREATE ROLE " + role +
                          " LOGIN CREATEDB; GRANT USAGE ON SCHEMA schemagate TO " + role +
                          "; GRANT SELECT ON _prisma_migrations, orders TO " + role +
                          "; GRANT SELECT ON ALL TABLES IN SCHEMA schemagate TO " + role);
  shop.settings.url = shop.database().url_as(role + ":" + k_url_password);
  const auto json = shop.rehearse({"--with-data", "orders"});
  CHECK(told(json) == contains("foreign key orders_customer_id_fkey does not "
                               "hold for the rows copied, and is NOT VALID there"));
  CHECK(told(json) ==
        contains("the rows of public.customers that orders_customer_id_fkey refers to "
                 "could not all be copied: permission denied for table customers"));
  CHECK(told(json) == contains("the rows of crm.people that orders_by_fkey refers to could not all "
                               "be copied: permission denied for schema crm"));
  CHECK(json.at("copy").at("rows").size() == 1);
  CHECK(shop.not_valid() == "orders_by_fkey orders_customer_id_fkey");
  shop.drop();
  shop.database().execute("DROP OWNED BY " + role + "; DROP ROLE " + role);
}

TEST_CASE("rows that are referred to are copied without their triggers, and those go on") {
  KeptShop shop{
      "CREATE TABLE audit (id int);\n"
      "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO audit VALUES "
      "(1); RETURN NEW; END';\n"
      "CREATE TABLE days (d int PRIMARY KEY) PARTITION BY RANGE (d);\n"
      "CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (0) TO (100);\n"
      "CREATE TABLE days_2 PARTITION OF days DEFAULT;\n"
      "CREATE TRIGGER noted AFTER INSERT ON days FOR EACH ROW EXECUTE FUNCTION noted();\n"
      "CREATE TRIGGER also AFTER INSERT ON days_2 FOR EACH STATEMENT EXECUTE FUNCTION noted();\n"
      "CREATE TABLE customers (id int PRIMARY KEY);\n"
      "CREATE TRIGGER noted AFTER INSERT ON customers FOR EACH ROW EXECUTE FUNCTION noted();\n"
      "CREATE TABLE orders (customer int REFERENCES customers, d int REFERENCES days);\n"};
  shop.database().execute("INSERT INTO days SELECT generate_series(1, 200); INSERT INTO customers "
                          "SELECT d FROM days; INSERT INTO orders SELECT d, d FROM days");
  shop.migration("2_more", "INSERT INTO customers VALUES (201);\n");
  (void)shop.rehearse({"--with-data", "orders"});
  CHECK(shop.in_copy("SELECT count(*) FROM audit") == "1");
  CHECK(shop.in_copy("SELECT count(*) FROM days") == "200");
  (void)shop.rehearse({"--with-data", "orders,days"});
  CHECK(shop.in_copy("SELECT count(*) FROM audit") == "1");
  CHECK(shop.in_copy("SELECT count(*) FROM pg_trigger WHERE tgenabled <> 'O'") == "0");
}

TEST_CASE("a list whose rows name each their next one is copied as far as is sensible") {
  KeptShop shop{"CREATE TABLE list (id int PRIMARY KEY, next int REFERENCES list);\n"
                "CREATE TABLE heads (id int REFERENCES list);\n"};
  shop.database().execute(
      "INSERT INTO list SELECT g, nullif(g - 1, 0) FROM generate_series(1, 1100) "
      "g; INSERT INTO heads VALUES (200)");
  shop.migration("2_more", "ALTER TABLE heads ADD x int;\n");
  (void)shop.rehearse({"--with-data", "heads"});
  CHECK(shop.not_valid() == "");
  shop.database().execute("UPDATE heads SET id = 1100");
  const auto json = shop.rehearse({"--with-data", "heads"});
  CHECK(shop.not_valid() == "list_next_fkey");
  CHECK(told(json) == contains("they refer to each other over more than 1000 steps"));
}

TEST_CASE("the address of a copy that is kept is right for a socket, too") {
  KeptShop shop{k_shop};
  shop.migration("2_more", "ALTER TABLE orders ADD x int;\n");
  const auto directory = shop.database().value("SHOW unix_socket_directories");
  REQUIRE(directory.starts_with("/"));
  shop.settings.url = "postgresql://postgres@/" + shop.database().name() + "?host=" + directory +
                      "&port=" + server_port();
  const auto kept = shop.rehearse({}).at("kept");
  const auto url = kept.at("url").get<std::string>();
  CHECK(url == contains("?host=" + directory + "&port="));
  CHECK(schemagate::pg::Session{url}.row("SELECT current_database()").text(0) ==
        kept.at("database").get<std::string>());
}
