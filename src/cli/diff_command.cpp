#include <fmt/core.h>

#include <filesystem>

#include "schemagate/base/text.hpp"
#include "schemagate/cli/commands.hpp"
#include "schemagate/commands/diff.hpp"

namespace schemagate::cli {
namespace {

constexpr const char* k_usual_manifest = "schemagate.yaml";
constexpr const char* k_no_manifest = "version: 1\nmigrations: {directory: migrations}\n";

class DiffCommand : public Command {
 public:
  void declare(Options& options) override {
    options.word("URL_A", a_, "a database: postgresql://..., env:NAME or file:PATH");
    options.word("URL_B", b_, "the one that should be like it").required = false;
    options.text("--against", "DIR", folder_,
                 "instead: a migrations folder; the database should be as it makes it");
    options.exactly_one_of({"URL_B", "--against"});
  }

  // It says which schemas are the app's, and which tool keeps the history; its own database is not
  // connected to, and need not be known.
  [[nodiscard]] Manifest manifest(const std::string& file) const override {
    const Environment lenient = [](const std::string& name) {
      return std::optional{process_environment()(name).value_or("")};
    };
    if (file != k_usual_manifest || std::filesystem::exists(file))
      return read_manifest(file, lenient);
    auto defaults = parse_manifest(k_no_manifest, file, lenient);
    defaults.file.clear();
    return defaults;
  }

  void execute(const Manifest& manifest, Stop& stop) override {
    report_ =
        folder_.empty() ? diff(manifest, a_, b_, stop) : diff_against(manifest, a_, folder_, stop);
    is_done_ = true;
  }

  void describe(Json& document, ExitCode code) const override {
    document.set("equal", code == ExitCode::done && report_.is_equal());
    if (!is_done_) return;
    document.set("a", report_.a).set("b", report_.b);
    document.set("applied_in_a_only", report_.applied_in_a_only);
    document.set("applied_in_b_only", report_.applied_in_b_only);
    document.set("missing_in_b", report_.missing_in_b).set("missing_in_a", report_.missing_in_a);
    document.set("different", report_.different).set("remarks", report_.remarks);
  }

  [[nodiscard]] std::string text() const override {
    std::string all = fmt::format("A  {}\nB  {}\n", report_.a, report_.b);
    const auto add = [&](const char* title, const std::vector<std::string>& lines) {
      if (lines.empty()) return;
      all += fmt::format("\n{}:\n", title);
      for (const auto& line : lines) all += "  " + line + "\n";
    };
    add("migrations that only A has applied", report_.applied_in_a_only);
    add("migrations that only B has applied", report_.applied_in_b_only);
    add("A has it, B does not", report_.missing_in_b);
    add("B has it, A does not", report_.missing_in_a);
    add("in both (should be: in A, is: in B)", report_.different);
    add("remarks", report_.remarks);
    if (report_.is_equal()) all += "\nequal\n";
    return printable(all);
  }

  [[nodiscard]] ExitCode verdict() const override {
    return report_.is_equal() ? ExitCode::done : ExitCode::drift;
  }

 private:
  std::string a_;
  std::string b_;
  std::string folder_;
  DiffReport report_;
  bool is_done_ = false;
};

}  // namespace

std::unique_ptr<Command> diff_command() { return std::make_unique<DiffCommand>(); }

}  // namespace schemagate::cli
