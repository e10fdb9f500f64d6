#include "progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace isolde::shell {
namespace {

std::size_t columns() {
  constexpr std::size_t usual = 80;
  winsize size{};
  const bool known = ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : usual;
}

}  // namespace

lab::Progress::Target progress_target() {
  lab::Progress::Target target;
  target.write = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  if (::isatty(STDERR_FILENO) == 1) target.columns = columns;
  return target;
}

}  // namespace isolde::shell
