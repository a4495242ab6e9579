#include "support/process.hpp"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <stdexcept>

#include "support/temp_dir.hpp"

namespace testing {
namespace {

std::string temporary_file() {
  std::string name = (std::filesystem::temp_directory_path() / "schemagate-output-XXXXXX").string();
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) throw std::runtime_error{"cannot make a temporary file"};
  ::close(fd);
  return name;
}

[[noreturn]] void become(const std::vector<std::string>& argv, const ProcessOptions& options,
                         const std::string& out, const std::string& err) {
  ::dup2(::open("/dev/null", O_RDONLY), STDIN_FILENO);
  ::dup2(::open(out.c_str(), O_WRONLY | O_APPEND), STDOUT_FILENO);
  ::dup2(::open(err.c_str(), O_WRONLY | O_APPEND), STDERR_FILENO);
  for (const auto& [name, value] : options.environment) ::setenv(name.c_str(), value.c_str(), 1);
  if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(126);
  std::vector<char*> pointers;
  for (const auto& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  ::execvp(pointers[0], pointers.data());
  ::_exit(127);
}

}  // namespace

Process::Process(const std::vector<std::string>& argv, const ProcessOptions& options)
    : out_file_{temporary_file()}, err_file_{temporary_file()} {
  pid_ = ::fork();
  if (pid_ == 0) become(argv, options, out_file_, err_file_);
  if (pid_ < 0) throw std::runtime_error{"cannot fork"};
}

Process::Process(Process&& other) noexcept
    : pid_{other.pid_}, status_{other.status_}, ended_{other.ended_},
      out_file_{std::move(other.out_file_)}, err_file_{std::move(other.err_file_)} {
  other.pid_ = -1;
}

Process::~Process() {
  if (pid_ < 0) return;
  if (is_running()) {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, &status_, 0);
  }
  ::unlink(out_file_.c_str());
  ::unlink(err_file_.c_str());
}

void Process::signal(int number) const { ::kill(pid_, number); }

bool Process::is_running() {
  if (!ended_) ended_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return !ended_;
}

Result Process::wait() {
  if (!eventually([this] { return !is_running(); }, std::chrono::seconds{120}))
    throw std::runtime_error{"a program did not end; it said:\n" + output_so_far()};
  const int code = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
  return {code, read_text(out_file_), read_text(err_file_)};
}

Result Process::terminate() {
  signal(SIGTERM);
  return wait();
}

void Process::kill() {
  signal(SIGKILL);
  (void)wait();
}

void Process::freeze() const {
  signal(SIGSTOP);
  if (!eventually([this] { return is_stopped(); }))
    throw std::runtime_error{"a program does not stop"};
}

bool Process::is_stopped() const {
  const auto stat = read_text("/proc/" + std::to_string(pid_) + "/stat");
  const auto name_end = stat.rfind(") ");  // the name may hold anything
  return name_end != std::string::npos && stat[name_end + 2] == 'T';
}

std::string Process::output_so_far() const { return read_text(err_file_); }

bool Process::says(const std::string& text, std::chrono::seconds limit) {
  return eventually([&] { return output_so_far().find(text) != std::string::npos; }, limit);
}

std::ostream& operator<<(std::ostream& out, const Result& result) {
  return out << "exit code " << result.exit_code << "\nstderr: " << result.err
             << "\nstdout: " << result.out;
}

bool operator==(const Result& result, const Exits& wanted) {
  return result.exit_code == wanted.code &&
         std::all_of(wanted.saying.begin(), wanted.saying.end(),
                     [&](const auto& text) { return result.err.find(text) != std::string::npos; });
}

std::ostream& operator<<(std::ostream& out, const Exits& wanted) {
  out << "exit code " << wanted.code;
  for (const auto& text : wanted.saying) out << "\n        saying: " << text;
  return out;
}

Result run(const std::vector<std::string>& argv, const ProcessOptions& options) {
  return Process{argv, options}.wait();
}

std::string tested_program() {
  const char* other = std::getenv("SCHEMAGATE_BINARY");
  return other == nullptr ? SCHEMAGATE_BINARY : other;
}

Process start_schemagate(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  std::vector<std::string> argv{tested_program()};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return Process{argv, options};
}

Result schemagate(const std::vector<std::string>& arguments, const ProcessOptions& options) {
  return start_schemagate(arguments, options).wait();
}

}  // namespace testing
