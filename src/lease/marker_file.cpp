#include "schemagate/lease/marker_file.hpp"

#include <fmt/core.h>

#include <cstdlib>
#include <system_error>
#include <thread>

#include "schemagate/base/fault.hpp"
#include "schemagate/base/file.hpp"
#include "schemagate/base/json.hpp"

namespace schemagate {
namespace {

using namespace std::chrono_literals;

constexpr auto k_read_within = 5s;
constexpr auto k_written_within = 10s;
constexpr std::size_t k_size_max = 64 * 1024;  // several times what write() makes

constexpr const char* k_hint =
    "its directory must exist and be writable for this user (a shared volume)";

// Nobody waits for the thread: what it needs is its own.
template <class Work> auto begun(Work work) {
  std::packaged_task<decltype(work())()> task{[work = std::move(work)] {
    name_this_thread("marker_file");
    return work();
  }};
  auto result = task.get_future();
  std::thread{std::move(task)}.detach();
  return result;
}

template <class Result> bool is_ready(std::future<Result>& result, Milliseconds limit) {
  return result.wait_for(limit) == std::future_status::ready;
}

}  // namespace

void MarkerFile::write(const ReleaseId& id, const Marker& marker) const {
  Json json;
  json.set("app", id.app)
      .set("release", id.release)
      .set("scope", id.scope)
      .set("status", name_of(marker.status))
      .set("digest", marker.digest);
  json.set("error_code", std::to_string(marker.error_code)).set("error", marker.error);
  fault::step("marker_file.write");
  auto written =
      begun([file = file_, text = json.pretty() + "\n"] { replace_shared_file(file, text); });
  const auto cannot = [&](const std::string& why, const char* hint) {
    return Failure{ExitCode::usage,
                   fmt::format("cannot write marker.file {}: {}", file_.string(), why), hint};
  };
  if (!is_ready(written, k_written_within))
    throw cannot(
        fmt::format("its file system does not answer for {}", for_people(k_written_within)),
        "look after the volume (its mount, its server), then run again");
  try {
    written.get();
  } catch (const std::system_error& e) {
    throw cannot(e.code().message(), k_hint);
  }
  fault::step("marker_file.written");
}

std::optional<Marker> MarkerFile::read(const ReleaseId& id) {
  if (!reading_.valid())
    reading_ = begun([file = file_] { return read_shared_file(file, k_size_max); });
  if (!is_ready(reading_, k_read_within))
    throw std::runtime_error{
        fmt::format("cannot read {}: its file system does not answer", file_.string())};
  const auto json = Json::parse(reading_.get().value_or(""));
  if (!json || json->text("app") != id.app || json->text("release") != id.release)
    return std::nullopt;
  // Who looks at a file only may not know whose history is meant.
  const auto scope = json->text("scope");
  if (!id.scope.empty() && !scope.empty() && scope != id.scope) return std::nullopt;
  const auto code = json->text("error_code");
  return Marker{.status = status_of(json->text("status")),
                .digest = json->text("digest"),
                .error_code = std::atoi(code.c_str()),
                .error = json->text("error"),
                .changed_at = {}};
}

}  // namespace schemagate
