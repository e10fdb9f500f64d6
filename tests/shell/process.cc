#include "tests/shell/process.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace isolde::shell::test {
namespace {

const std::string binary_directory = ISOLDE_BINARY_DIR "/bin";

// In the child, between fork and exec.
void redirect(const std::filesystem::path& file, int flags, int to) {
  const int fd = ::open(file.c_str(), flags, 0600);
  if (fd < 0 || ::dup2(fd, to) < 0) ::_exit(126);
  ::close(fd);
}

lab::TemporaryDirectory make_directory() {
  auto directory = lab::TemporaryDirectory::create("isolde-shell-test-");
  if (!directory) throw std::runtime_error(directory.error().to_string());
  return std::move(*directory);
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  std::ifstream stream(path, std::ios::binary);
  std::ostringstream text;
  text << stream.rdbuf();
  return text.str();
}

void write_file(const std::filesystem::path& path, std::string_view text) {
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(text.data(), static_cast<std::streamsize>(text.size()));
  if (!stream.flush()) throw std::runtime_error("cannot write " + path.string());
}

Workshop::Workshop() : directory_(make_directory()), streams_(make_directory()) {}

Finished Workshop::isolde(const std::vector<std::string>& arguments, std::string_view input) const {
  std::vector<std::string> command{binary_directory + "/isolde"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command, input, {});
}

Finished Workshop::bash(const std::string& command, std::string_view input) const {
  return run({"/bin/bash", "-o", "pipefail", "-c", command}, input, {});
}

Finished Workshop::isolde_while(const std::vector<std::string>& arguments,
                                const std::function<void(int)>& meanwhile) const {
  std::vector<std::string> command{binary_directory + "/isolde"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run(command, {}, meanwhile);
}

Finished Workshop::run(const std::vector<std::string>& command, std::string_view input,
                       const std::function<void(int)>& meanwhile) const {
  const std::filesystem::path in = streams_.path() / "in";
  const std::filesystem::path out = streams_.path() / "out";
  const std::filesystem::path err = streams_.path() / "err";
  write_file(in, input);
  std::vector<char*> arguments;
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    redirect(in, O_RDONLY, STDIN_FILENO);
    redirect(out, O_WRONLY | O_CREAT | O_TRUNC, STDOUT_FILENO);
    redirect(err, O_WRONLY | O_CREAT | O_TRUNC, STDERR_FILENO);
    if (::chdir(path().c_str()) != 0) ::_exit(126);
    const char* search = std::getenv("PATH");
    ::setenv("PATH", (binary_directory + ':' + (search == nullptr ? "" : search)).c_str(), 1);
    // What a run leaves behind is looked for here.
    ::setenv("TMPDIR", path().c_str(), 1);
    ::unsetenv("NO_COLOR");
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  if (child < 0) throw std::runtime_error("cannot fork");
  if (meanwhile) meanwhile(child);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  return {code, read_file(out), read_file(err)};
}

}  // namespace isolde::shell::test
