#pragma once
// The words that a command understands: declared once, then parsed, and listed by its help. A
// mistake is a Failure (usage) that names the word, what was meant, and where help is. The values
// are written where the declarations say, which must outlive this.

#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "schemagate/base/text.hpp"
#include "schemagate/base/wait.hpp"

namespace schemagate::cli {

struct Option {
  std::string names;       // "-f,--file"; without dashes it is a word that stands alone
  std::string value{};     // "FILE", for the help; empty: a flag
  std::string what;        // for the help
  std::string must_be{};   // for a value that is not understood
  std::string variable{};  // of the environment, where the option is not given; empty: none
  bool is_many = false;    // of a word that stands alone: there may be several
  bool required = false;   // the same
  std::function<bool(const std::string& value)> accept;  // false: not understood

  Option& or_variable(std::string name) {
    variable = std::move(name);
    return *this;
  }
  [[nodiscard]] bool is_word() const { return !names.starts_with('-'); }
  [[nodiscard]] std::string long_name() const { return split(names, ',').back(); }
};

class Options {
 public:
  explicit Options(std::string command) : command_{std::move(command)} {}

  Option& flag(std::string names, bool& given, std::string what);
  Option& text(std::string names, std::string value, std::string& given, std::string what);
  Option& duration(std::string names, Milliseconds& given, std::string what);
  template <class Value>
  Option& choice(const std::string& names,
                 const std::vector<std::pair<std::string, Value>>& choices, Value& given,
                 const std::string& what);
  Option& word(std::string name, std::string& given, std::string what);  // must be there
  Option& words(std::string name, std::vector<std::string>& given, std::string what);
  // Of these, by their long names, exactly one is to be given.
  void exactly_one_of(std::vector<std::string> names) { groups_.push_back(std::move(names)); }
  // "-- CMD" may follow: a mistake may be that the dashes are missing.
  void allow_program() { takes_program_ = true; }

  void parse(const std::vector<std::string>& words);
  [[nodiscard]] bool asks_for_help() const { return asks_for_help_; }

  [[nodiscard]] const std::string& command() const { return command_; }
  [[nodiscard]] const std::vector<Option>& all() const { return options_; }
  [[nodiscard]] const std::vector<std::vector<std::string>>& groups() const { return groups_; }
  [[nodiscard]] bool takes_program() const { return takes_program_; }

 private:
  Option& add(Option option);

  std::string command_;
  std::vector<Option> options_;
  std::vector<std::vector<std::string>> groups_;
  bool takes_program_ = false;
  bool asks_for_help_ = false;
};

// For mistakes on the command line. `command`: whose help helps; empty: the program's.
[[nodiscard]] Failure usage_mistake(const std::string& command, const std::string& what);
// `; did you mean "X"?`, or nothing where no candidate is close.
[[nodiscard]] std::string did_you_mean(const std::string& word,
                                       const std::vector<std::string>& candidates);

template <class Value>
Option& Options::choice(const std::string& names,
                        const std::vector<std::pair<std::string, Value>>& choices, Value& given,
                        const std::string& what) {
  std::vector<std::string> texts;
  for (const auto& [text, value] : choices) texts.push_back(text);
  return add({.names = names,
              .value = join(texts, "|"),
              .what = what,
              .must_be = "one of " + join(texts, ", "),
              .accept = [choices, &given](const std::string& word) {
                for (const auto& [text, value] : choices)
                  if (text == word) return given = value, true;
                return false;
              }});
}

}  // namespace schemagate::cli
