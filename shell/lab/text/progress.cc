#include "lab/text/progress.h"

#include <algorithm>
#include <string>
#include <utility>

#include "lab/text/text.h"

namespace isolde::lab {
namespace {

constexpr std::string_view to_an_empty_line = "\r\x1b[K";

// As much of it as fits in so many columns.
std::string_view cut(std::string_view text, std::size_t columns) {
  std::size_t length = 0;
  while (length < text.size()) {
    const std::size_t next = std::max<std::size_t>(1, utf8_length(text.substr(length)));
    if (display_width(text.substr(0, length + next)) > columns) break;
    length += next;
  }
  return text.substr(0, length);
}

}  // namespace

Progress::Progress(Target target, Clock::time_point now) : target_(std::move(target)), last_(now) {}

Progress::~Progress() { clear(); }

bool Progress::is_due(Clock::time_point now) const {
  return now - last_ >= (target_.columns ? Clock::duration(interval_on_terminals)
                                         : Clock::duration(interval_elsewhere));
}

void Progress::tell(std::string_view text, Clock::time_point now) {
  last_ = now;
  if (!target_.columns) {
    target_.write(std::string(text) + '\n');
    return;
  }
  // Not in the last column: terminals differ in where the cursor then is.
  std::string line(to_an_empty_line);
  target_.write(line += cut(text, std::max<std::size_t>(1, target_.columns()) - 1));
  shown_ = true;
}

void Progress::clear() {
  if (std::exchange(shown_, false)) target_.write(to_an_empty_line);
}

}  // namespace isolde::lab
