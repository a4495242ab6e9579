// The marker file as a gate reads it: no text opens a gate by accident, and what was written is
// read.

#include "schemagate/lease/marker_file.hpp"

#include "fuzz.hpp"
#include "schemagate/base/text.hpp"

namespace {

using namespace schemagate;
using fuzz::promise;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::ScratchDir scratch;
  const ReleaseId id{"shop", "v1", ""};
  const auto text = fuzz::text_of(data, size);
  const auto file = scratch.write("marker.json", text);
  MarkerFile marker_file{file};
  if (const auto marker = marker_file.read(id)) {
    for (const auto* needed : {"app", "release", "shop", "v1"})
      promise(fuzz::holds(text, needed) || fuzz::holds(text, "\\u"), "the marker is ours", text);
    promise(marker->status != Marker::Status::complete || fuzz::holds(text, "complete") ||
                fuzz::holds(text, "\\u"),
            "only a complete marker is complete", text);
  }

  const auto texts = fuzz::texts_of(data, size, 4);
  const ReleaseId any{valid_utf8(texts[0]), valid_utf8(texts[1]), ""};
  const Marker written{.status = Marker::Status::failed,
                       .digest = valid_utf8(texts[2]),
                       .error_code = static_cast<int>(size),
                       .error = valid_utf8(texts[3]),
                       .changed_at = {}};
  marker_file.write(any, written);
  const auto read = marker_file.read(any);
  promise(read.has_value(), "a marker that was written is read");
  promise(read->status == written.status && read->digest == written.digest &&
              read->error_code == written.error_code && read->error == written.error,
          "a marker is read as it was written");
  promise(!marker_file.read({any.app, any.release + "x", ""}), "another release's is not ours");
  return 0;
}
