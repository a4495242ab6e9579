#include "schemagate/formats/prisma.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "schemagate/base/text.hpp"

namespace schemagate::prisma {
namespace {

class PrismaFormat : public Format {
 public:
  [[nodiscard]] std::string_view name() const override { return "prisma"; }
  [[nodiscard]] std::string_view title() const override { return "Prisma"; }
  [[nodiscard]] Folder read_folder(const std::filesystem::path& directory,
                                   bool allow_empty) const override {
    return prisma::read_folder(directory, allow_empty);
  }
  [[nodiscard]] bool same_content(const Migration& migration,
                                  const std::string& checksum) const override {
    return prisma::same_content(migration, checksum);
  }
  [[nodiscard]] std::unique_ptr<HistoryTable> history(const std::vector<std::string>& search_path,
                                                      const Bookkeeping& bookkeeping,
                                                      const Folder& folder) const override {
    return std::make_unique<Table>(search_path.front(), bookkeeping, folder);
  }
  [[nodiscard]] std::string table() const override { return "_prisma_migrations"; }
  [[nodiscard]] std::optional<std::int64_t> advisory_lock() const override { return 72707369; }
  [[nodiscard]] std::string_view way_around() const override { return "`prisma db push`"; }

  [[nodiscard]] std::string_view code_of(Problem problem) const override {
    switch (problem) {
      case Problem::not_baselined: return "P3005";
      case Problem::is_applied: return "P3008";
      case Problem::failed: return "P3009";
      case Problem::is_not_applied: return "P3011";
      case Problem::did_not_fail: return "P3012";
      case Problem::no_script: return "P3015";
      case Problem::unknown: return "P3017";
    }
    return {};
  }
};

// The engine writes the escapes of a terminal into the logs; nobody else's are wanted either.
std::string printable(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c == '\x1b') i = std::min(text.find('m', i), text.size());
    else if (c >= ' ' || c == '\n' || c == '\t') plain += text[i];
  }
  return plain;
}

// An argument may be a whole shell line.
std::vector<std::string> words_of(const std::vector<std::string>& argv) {
  std::vector<std::string> words;
  for (auto argument : argv) {
    for (auto& c : argument)
      if (std::string_view{" \t\n\\;&|()'\"`"}.find(c) != std::string_view::npos) c = ' ';
    for (auto& word : split(argument, ' '))
      if (!word.empty()) words.push_back(lower_case(word));
  }
  return words;
}

}  // namespace

std::shared_ptr<const Format> format() {
  static const auto k_format = std::make_shared<const PrismaFormat>();
  return k_format;
}

std::vector<std::string> reason_in(const std::string& logs) {
  std::vector<std::string> lines;
  for (const auto& coloured : split(trim(logs), '\n')) {
    const auto line = printable(coloured);
    if (line.starts_with("DbError {") || line.starts_with("   0: ")) break;
    if (!trim(line).empty() && !line.starts_with("A migration failed to apply."))
      lines.push_back(line);
  }
  return lines;
}

void refuse_destructive_command(const std::vector<std::string>& argv) {
  const auto words = words_of(argv);
  const auto refuse = [](const std::string& what) {
    throw Failure{
        ExitCode::refused,
        fmt::format(
            "refused: \"{}\" can drop data; schemagate never runs it against a database to be kept",
            what),
        "deploy with: prisma migrate deploy (or tool: prisma, which needs no command)"};
  };
  // Supabase's `db push` applies migration files: that is its way to deploy.
  const bool is_supabase = std::find(words.begin(), words.end(), "supabase") != words.end();
  const auto is_option = [](const std::string& word) { return word.starts_with('-'); };
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].starts_with("--force-reset") || words[i].starts_with("--accept-data-loss"))
      refuse(words[i]);
    if (words[i] != "migrate" && (words[i] != "db" || is_supabase)) continue;
    // Options, each perhaps with a value, may stand between: prisma migrate --schema x reset
    for (auto j = i + 1; j < words.size(); ++j) {
      const auto pair = words[i] + " " + words[j];
      if (pair == "db push" || pair == "migrate dev" || pair == "migrate reset")
        refuse("prisma " + pair);
      if (!is_option(words[j]) && !is_option(words[j - 1])) break;
    }
  }
}

}  // namespace schemagate::prisma
