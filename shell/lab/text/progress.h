// How far a long piece of work is, told now and then.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>

namespace isolde::lab {

// On a terminal in place, ten times a second, and nothing of it is left behind; elsewhere a line of
// its own each half minute, for a reader of a log. Not thread-safe.
class Progress {
 public:
  using Clock = std::chrono::steady_clock;

  struct Target {
    std::function<void(std::string_view)> write;
    std::function<std::size_t()> columns;  // of the terminal, whose window may change; nothing:
                                           // it is none
  };
  static constexpr std::chrono::milliseconds interval_on_terminals{100};
  static constexpr std::chrono::seconds interval_elsewhere{30};

  explicit Progress(Target target, Clock::time_point now = Clock::now());
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Whether it is time to tell: to ask costs less than to say it.
  bool is_due(Clock::time_point now = Clock::now()) const;
  // One line of UTF-8, cut off where the terminal ends: two could not be taken back.
  void tell(std::string_view text, Clock::time_point now = Clock::now());
  // Before anything else is printed.
  void clear();

 private:
  Target target_;
  Clock::time_point last_;
  bool shown_ = false;
};

}  // namespace isolde::lab
