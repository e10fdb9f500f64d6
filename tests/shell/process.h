// The real binary, run as a process with arguments, input and a directory of its own.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "lab/play/playground.h"

namespace isolde::shell::test {

struct Finished {
  int code = -1;    // exit code; -signal if it was killed
  std::string out;  // standard output
  std::string err;  // standard error
};

std::string read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view text);

// A temporary directory in which commands run.
class Workshop {
 public:
  Workshop();

  const std::filesystem::path& path() const { return directory_.path(); }
  std::filesystem::path file(const std::string& name) const { return path() / name; }
  void write(const std::string& name, std::string_view text) const { write_file(file(name), text); }
  std::string read(const std::string& name) const { return read_file(file(name)); }
  bool has(const std::string& name) const { return std::filesystem::exists(file(name)); }

  // `isolde ARGUMENTS...`
  Finished isolde(const std::vector<std::string>& arguments, std::string_view input = {}) const;
  // A command line of bash, in which `isolde` is the binary.
  Finished bash(const std::string& command, std::string_view input = {}) const;
  // Starts `isolde ARGUMENTS...`, calls `meanwhile` with its process id, and waits for its end.
  Finished isolde_while(const std::vector<std::string>& arguments,
                        const std::function<void(int)>& meanwhile) const;

 private:
  Finished run(const std::vector<std::string>& command, std::string_view input,
               const std::function<void(int)>& meanwhile) const;

  lab::TemporaryDirectory directory_;
  lab::TemporaryDirectory streams_;  // the files that stand in for the standard streams
};

}  // namespace isolde::shell::test
