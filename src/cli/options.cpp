#include "schemagate/cli/options.hpp"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "schemagate/base/password.hpp"
#include "schemagate/manifest/manifest.hpp"

namespace schemagate::cli {

Failure usage_mistake(const std::string& command, const std::string& what) {
  return {ExitCode::usage, what,
          fmt::format("schemagate {}{}--help", command, command.empty() ? "" : " ")};
}

std::string did_you_mean(const std::string& word, const std::vector<std::string>& candidates) {
  const auto meant = closest(word, candidates);
  return meant.empty() ? "" : fmt::format("; did you mean \"{}\"?", meant);
}

Option& Options::add(Option option) { return options_.emplace_back(std::move(option)); }

Option& Options::flag(std::string names, bool& given, std::string what) {
  return add({.names = std::move(names),
              .what = std::move(what),
              .must_be = "given without a value",
              .accept = [&given](const std::string& value) { return given = value == "true"; }});
}

Option& Options::text(std::string names, std::string value, std::string& given, std::string what) {
  return add({.names = std::move(names),
              .value = std::move(value),
              .what = std::move(what),
              .accept = [&given](const std::string& text) { return given = text, true; }});
}

Option& Options::duration(std::string names, Milliseconds& given, std::string what) {
  return add({.names = std::move(names),
              .value = "DURATION",
              .what = std::move(what),
              .must_be = "like 30s, 10m or 1h",
              .accept = [&given](const std::string& text) {
                const auto duration = parse_duration(text);
                given = duration.value_or(given);
                return duration.has_value();
              }});
}

Option& Options::word(std::string name, std::string& given, std::string what) {
  auto& option = text(std::move(name), "", given, std::move(what));
  option.required = true;
  return option;
}

Option& Options::words(std::string name, std::vector<std::string>& given, std::string what) {
  return add({.names = std::move(name),
              .what = std::move(what),
              .is_many = true,
              .accept = [&given](const std::string& text) { return given.push_back(text), true; }});
}

namespace {

// One reading of a command's words. CLI11 takes them apart; what they may be, and what is said of a
// mistake, is decided here.
class Parse {
 public:
  Parse(const Options& options, const std::vector<std::string>& words)
      : options_{options}, words_{words} {
    parser_.set_help_flag("");
    parser_.prefix_command();  // what it does not know is left to us, by remaining()
    for (const auto& option : options.all())
      found_.push_back(option.is_many ? parser_.add_option(option.names, many_)
                       : option.value.empty() && !option.is_word()
                           ? parser_.add_flag(option.names)
                           : parser_.add_option(option.names));
    help_ = parser_.add_flag("-h,--help");
  }

  // False when help is asked for.
  bool read() {
    take_apart();
    if (help_->count() > 0) return false;
    check_unknown();
    for (std::size_t i = 0; i < found_.size(); ++i) accept(options_.all()[i], *found_[i]);
    for (const auto& group : options_.groups()) check_group(group);
    return true;
  }

 private:
  [[nodiscard]] Failure mistake(const std::string& what) const {
    return usage_mistake(options_.command(), what);
  }
  void take_apart();
  void check_unknown() const;
  [[nodiscard]] Failure unexpected(std::size_t at) const;
  void accept(const Option& option, const CLI::Option& found) const;
  void check_group(const std::vector<std::string>& names) const;

  const Options& options_;
  const std::vector<std::string>& words_;
  CLI::App parser_;
  std::vector<std::string> many_;
  std::vector<CLI::Option*> found_;  // in the order of the options
  CLI::Option* help_ = nullptr;
};

void Parse::take_apart() {
  std::vector<std::string> last_first{words_.rbegin(), words_.rend()};
  try {
    parser_.parse(last_first);
  } catch (const CLI::ArgumentMismatch&) {
    for (std::size_t i = 0; i < found_.size(); ++i)
      if (found_[i]->count() > 1 && !options_.all()[i].is_many)
        throw mistake(fmt::format("{} is given more than once", options_.all()[i].long_name()));
    throw mistake(fmt::format("{} needs a value", words_.back()));
  } catch (const CLI::ParseError& e) {
    throw mistake(e.what());
  }
}

void Parse::check_unknown() const {
  const auto unknown = parser_.remaining();
  if (unknown.empty()) return;
  const auto& word = unknown.front();
  if (!word.starts_with('-')) throw unexpected(words_.size() - unknown.size());
  std::vector<std::string> names{"--help"};
  for (const auto& option : options_.all())
    if (!option.is_word()) names.push_back(option.long_name());
  const auto name = word.substr(0, word.find('='));
  throw mistake(fmt::format("unknown option \"{}\"{}", name,
                            name.starts_with("--") ? did_you_mean(name, names) : ""));
}

// Quoted where it has to be; the dashes of an option need nothing.
std::string as_word(const std::string& word) {
  const auto dashes = std::min(word.find_first_not_of('-'), word.size());
  if (dashes > 0 && dashes == word.size()) return word;
  return word.substr(0, dashes) + shell_word(word.substr(dashes));
}

// Nearly always the program, without the dashes before it.
Failure Parse::unexpected(std::size_t at) const {
  if (!options_.takes_program())
    return mistake(
        fmt::format("unexpected \"{}\"", without_password(words_[at], words_[at].size())));
  auto typed = "schemagate " + options_.command();
  for (std::size_t i = 0; i < words_.size(); ++i)
    typed += (i == at ? " -- " : " ") + as_word(words_[i]);
  return {ExitCode::usage,
          fmt::format("\"{}\" is not an option; a program to be started is written after --",
                      words_[at]),
          typed};
}

void Parse::accept(const Option& option, const CLI::Option& found) const {
  auto name = option.long_name();
  auto values = found.results();
  if (values.empty() && !option.variable.empty()) {
    name = option.variable;
    const auto value = process_environment()(name);
    if (value && !value->empty()) values.push_back(*value);
  }
  if (values.empty() && option.required)
    throw mistake(fmt::format("{} is missing: {}", name, option.what));
  for (const auto& value : values) {
    if (option.accept(value)) continue;
    throw mistake(fmt::format("{} must be {}, not \"{}\"{}", name, option.must_be, value,
                              did_you_mean(value, split(option.value, '|'))));
  }
}

void Parse::check_group(const std::vector<std::string>& names) const {
  std::size_t given = 0;
  for (std::size_t i = 0; i < found_.size(); ++i)
    if (std::find(names.begin(), names.end(), options_.all()[i].long_name()) != names.end())
      given += found_[i]->count() > 0 ? 1 : 0;
  if (given == 1) return;
  throw mistake(fmt::format("{} of {} {} be given", given == 0 ? "one" : "only one",
                            join(names, ", "), given == 0 ? "must" : "may"));
}

}  // namespace

void Options::parse(const std::vector<std::string>& words) {
  asks_for_help_ = !Parse{*this, words}.read();
}

}  // namespace schemagate::cli
