#pragma once
// Folders of migrations by chance: statements as Prisma and people write them, made on a model of
// the schema, so that each of them is valid where it stands, save the one that is to fail.

#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

namespace testing {

struct GeneratedStatement {
  enum class Nature {
    visible,        // changes the catalogue
    repeatable,     // done twice is as good as done once
    unseen,         // changes data, or anything: nobody can tell from the catalogue
    of_no_account,  // leaves nothing behind
    begin,
    commit,
  };
  std::string sql;  // without semicolon
  Nature nature = Nature::visible;
  std::string comment = {};  // a line before it

  // Prisma >= 7.4 cannot parse it, and sends its script whole.
  [[nodiscard]] bool is_do_block() const { return sql.starts_with("DO "); }
};

struct GeneratedMigration {
  enum class Failure {
    none,
    outside,      // as long as the database has its fault (prepare_fault)
    unseen,       // leaves the catalogue as it would be without the statement
    conflicting,  // the catalogue is not as the statement presupposes
  };
  std::string name;
  std::vector<GeneratedStatement> statements;
  Failure failure = Failure::none;
  std::size_t failing = 0;  // the statement that fails
  std::string line_end = "\n";
  std::string end = ";\n";

  [[nodiscard]] std::string script() const;
  [[nodiscard]] std::size_t line_of(std::size_t statement) const;
  // Statements whose work stays when the failing one has failed.
  [[nodiscard]] std::size_t done_when_sent_whole() const;
  [[nodiscard]] std::size_t done_when_split() const;
  // Without the failing statement, if that is what is wrong.
  [[nodiscard]] GeneratedMigration mended() const;
};

class Generator {
 public:
  explicit Generator(std::mt19937& random) : random_{random} {}

  [[nodiscard]] GeneratedMigration next();
  // Puts a failing statement in. `atomic`: not behind a COMMIT of the script. False where the
  // script has to stay as it is.
  [[nodiscard]] bool spoil(GeneratedMigration& migration, bool atomic);

 private:
  using Nature = GeneratedStatement::Nature;
  struct Column {
    std::string name;
    std::string type;
    bool is_free;  // to be dropped, renamed or changed
  };
  struct Table {
    std::string name;
    std::vector<Column> columns;  // besides "id"
    std::vector<int> ids;         // of its rows
    bool is_used = false;         // by a view or a foreign key
  };
  struct Index {
    std::string name;
    std::string table;
    std::string column;
  };

  int number(int least, int most) {
    return std::uniform_int_distribution<int>{least, most}(random_);
  }
  bool chance(int percent) { return number(1, 100) <= percent; }
  template <class List> auto& any_of(List& list) {
    return list[static_cast<std::size_t>(number(0, static_cast<int>(list.size()) - 1))];
  }
  std::string fresh(const std::string& stem) { return stem + std::to_string(++count_); }
  Column any_column(bool nullable_only);
  Column* free_column(Table& table);
  std::string value_for(const std::string& type);
  std::string shape_of(const std::string& type);
  void add(const std::string& sql, Nature nature = Nature::visible,
           const std::string& comment = {}) {
    now_->push_back({sql, nature, comment});
  }

  void something();
  void create_table();
  void add_column();
  void drop_column();
  void rename_column();
  void change_column();
  void create_index();
  void drop_index();
  void foreign_key();
  void enum_type();
  void swap_enum();
  void view();
  void function();
  void insert();
  void change_rows();
  void remark();
  void do_block();
  void rename_table();
  void drop_table();
  void check();

  std::mt19937& random_;
  int count_ = 0;
  int migrations_ = 0;
  std::vector<Table> tables_;
  std::vector<Index> indexes_;
  std::map<std::string, std::vector<std::string>> enums_;
  std::vector<std::string> new_values_;  // enums that this migration has added a value to
  std::vector<std::string> views_;
  std::vector<std::string> functions_;
  std::vector<GeneratedStatement>* now_ = nullptr;
};

}  // namespace testing
