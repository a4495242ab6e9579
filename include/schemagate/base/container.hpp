#pragma once
// Whether this process was put into a container that was already running (docker exec, kubectl
// exec), and not started with it: then its image may be of the release that is being replaced, as
// for Coolify's pre-deployment command; some CI systems work like this, too. Reads /proc only;
// Linux. Never fails: unknown is no.
//
// Such a process, or its shell, has a parent outside of the container, which proc(5) shows as
// parent 0, and is not the container's process 1. Where the containers of a pod share their
// processes, the others' first ones look the same, but process 1 is in another cgroup than they
// are (cgroup_namespaces(7)).

#include <filesystem>
#include <optional>

#include "schemagate/base/wait.hpp"

namespace schemagate {

// How long the container had been running; nothing if this process belongs to its start.
// `proc`: for tests.
[[nodiscard]] std::optional<Milliseconds>
entered_running_container(const std::filesystem::path& proc = "/proc");

}  // namespace schemagate
