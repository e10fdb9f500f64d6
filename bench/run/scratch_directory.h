// A directory for what is measured, gone when the measuring ends.
#pragma once

#include <filesystem>
#include <functional>

namespace isolde::bench {

// Calls `measure` with a new directory inside `parent`, in a child process, and returns its status.
// The directory is removed however the child ends: by itself, by Ctrl-C, by a crash. A child that
// a signal ended ends this process in the same way. What this process gets of SIGINT, SIGTERM and
// SIGHUP is for the child. Throws CannotRun if there can be no such directory.
//
// Why a process: what is measured has threads, and may abort or exit anywhere; a signal's handler
// could not remove a directory under them.
//
// Thread safety: only while no other thread runs.
int measure_in_scratch_directory(const std::filesystem::path& parent,
                                 const std::function<int(const std::filesystem::path&)>& measure);

}  // namespace isolde::bench
