#pragma once
// Fault points: the places where a test stops or breaks this process, one before and one after each
// step that leaves the process: a message to the server, a child, a file. Without the CMake option
// SCHEMAGATE_FAULTS, which a shipped build does not have, they are nothing at all.
//
// SCHEMAGATE_FAULT=NAME:N:ACTION acts when point NAME is passed for the Nth time, counted from 1.
// NAME has the thread's name and a slash before it outside the main thread. ACTION:
//   kill   SIGKILL            stop   SIGSTOP
//   error  throws bad_alloc   cut    the caller loses its connection
// SCHEMAGATE_FAULT_TRACE=FILE appends a line "NAME:N<TAB>DETAIL" for every point passed.

#include <string_view>

namespace schemagate::fault {

#ifdef SCHEMAGATE_FAULTS
// True: the caller is to lose its connection here. Any thread.
[[nodiscard]] bool point(std::string_view name, std::string_view detail = {});
#else
[[nodiscard]] constexpr bool point(std::string_view, std::string_view = {}) { return false; }
#endif

// Where there is no connection to lose.
inline void step(std::string_view name) { (void)point(name); }

}  // namespace schemagate::fault
