#include "tests/engine/base_fixture.h"

#include <sys/wait.h>

#include <csignal>
#include <cstdio>

namespace isolde::engine::test {

int in_child(const std::function<int()>& work) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    // Boost's handlers would go on with the tests in the child.
    for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL})
      std::signal(signal, SIG_DFL);
    ::_exit(work());
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void write_file(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

std::uint64_t seed_for(const char* test) {
  const char* given = std::getenv("ISOLDE_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  std::printf("%s: ISOLDE_SEED=%llu\n", test, static_cast<unsigned long long>(seed));
  return seed;
}

int test_scale() {
  const char* given = std::getenv("ISOLDE_TEST_SCALE");
  const int scale = given != nullptr ? std::atoi(given) : 1;
  return scale > 0 ? scale : 1;
}

}  // namespace isolde::engine::test
