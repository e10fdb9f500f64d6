// isolde [DIR]: the interactive shell.
#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "cell_options.h"
#include "commands.h"
#include "exit_code.h"
#include "interrupt.h"
#include "lab/text/text.h"
#include "lab/workbench/workbench.h"
#include "line_editor.h"
#include "stream.h"

namespace isolde::shell {
namespace {

using Reply = lab::Workbench::Reply;

struct ShellOptions {
  std::string directory;
  CellOptions cell{"repeatable-read", "optimistic", "auto"};
  std::string mode = "text";
  std::string durability = "sync";
  std::string victim = "youngest";
  bool echo = false;
};

std::size_t terminal_width() {
  constexpr std::size_t narrowest = 40;
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::max<std::size_t>(size.ws_col, narrowest);
}

VictimPolicy victim_from(std::string_view text) {
  for (const VictimPolicy policy :
       {VictimPolicy::youngest, VictimPolicy::oldest, VictimPolicy::fewest_writes,
        VictimPolicy::requester, VictimPolicy::lowest_priority}) {
    if (name(policy) == text) return policy;
  }
  return VictimPolicy::youngest;
}

class Shell final : public lab::Host {
 public:
  explicit Shell(const ShellOptions& options)
      : options_(options),
        on_terminal_(::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) {}

  int run() {
    auto setting = setting_for();
    if (!setting) return report(setting.error(), "the temporary database");
    bench_ = std::make_unique<lab::Workbench>(*setting, style(), *this);
    if (auto opened = bench_->open(); !opened) {
      return report_open(opened.error(), setting->directory->string());
    }
    editor_ = LineEditor::create(
        bell_, {[this] { return bench_->prompt(true); },
                [this](std::string_view line) { return bench_->completions(line); },
                [](std::string_view line) { return lab::Workbench::completes_files(line); }});
    greet();
    const int code = read_lines();
    const bool whole = bench_->finish();
    editor_.reset();
    bench_.reset();
    if (code != exit_ok || whole || on_terminal_) return code;
    return exit_failed;
  }

  void show(std::string_view text, bool error) override {
    if (!editor_) return complain(text.substr(0, text.find_last_not_of('\n') + 1));
    // On a terminal all is one stream: an error is told where it happens.
    error = error && !on_terminal_;
    if (on_terminal_ && interrupted()) leave_the_keys_line();
    // In pieces: Ctrl-C shall end what shows a million entries, too.
    constexpr std::size_t piece = std::size_t{1} << 14;
    while (on_terminal_ && text.size() > piece) {
      const std::size_t end = text.rfind('\n', piece) + 1;
      if (end == 0) break;
      editor_->show(text.substr(0, end), error);
      text.remove_prefix(end);
      if (interrupted()) return editor_->show("interrupted\n", error);
    }
    editor_->show(text, error);
  }

  bool interrupted() const override { return shell::interrupted(); }

  Waited wait(std::optional<std::chrono::milliseconds> longest) override {
    std::array<pollfd, 2> sources{pollfd{bell_.descriptor(), POLLIN, 0},
                                  pollfd{interrupt_descriptor(), POLLIN, 0}};
    constexpr std::int64_t longest_poll_ms = 1'000'000'000;
    const int timeout =
        longest ? static_cast<int>(std::min<std::int64_t>(longest->count(), longest_poll_ms)) : -1;
    const int ready = ::poll(sources.data(), sources.size(), timeout);
    if (ready < 0 || sources[1].revents != 0) {
      if (on_terminal_ && take_interrupt()) leave_the_keys_line();  // else it ends the reading
      return Waited::interrupted;
    }
    static_cast<void>(bell_.take());
    return ready == 0 ? Waited::timed_out : Waited::woken;
  }

  void woken() override { bell_.ring(); }

  Result<std::string> read(const std::string& file) override {
    constexpr std::size_t largest_file = std::size_t{64} << 20;
    return read_whole(file, largest_file);
  }

  Result<void> write(const std::string& file, std::string_view text) override {
    auto output = Output::open(file);
    if (!output) return output.error();
    if (auto written = output->write(text); !written) return written;
    return output->finish();
  }

 private:
  Result<lab::Workbench::Setting> setting_for() {
    lab::Workbench::Setting setting;
    setting.cell = {*isolation_from_name(options_.cell.level),
                    *locking_from_name(options_.cell.locking)};
    setting.database.durability =
        options_.durability == "none" ? Durability::none() : Durability::sync();
    setting.database.deadlock_victim = victim_from(options_.victim);
    // A session that waits here waits for a person who thinks about what to type.
    setting.database.lock_timeout = no_lock_timeout;
    if (!options_.directory.empty()) {
      setting.directory = options_.directory;
      return setting;
    }
    auto directory = lab::TemporaryDirectory::create("isolde-shell-");
    if (!directory) return directory.error();
    temporary_ = std::move(*directory);
    setting.directory = temporary_->path() / "db";
    setting.database.log_segment_bytes = std::size_t{1} << 20;
    setting.database.initial_map_bytes = std::size_t{1} << 28;
    return setting;
  }

  lab::ScreenStyle style() const {
    lab::ScreenStyle style;
    style.color = want_color(options_.cell);
    style.width = terminal_width();
    style.clock = on_terminal_;
    style.wraps = on_terminal_ || options_.echo;
    style.mode = options_.mode == "json"    ? lab::ScreenStyle::Mode::json
                 : options_.mode == "table" ? lab::ScreenStyle::Mode::table
                                            : lab::ScreenStyle::Mode::text;
    return style;
  }

  void greet() {
    if (!on_terminal_) return;
    show(fmt::format("isolde {}: {}\nhelp lists the commands, quit leaves\n", ISOLDE_VERSION,
                     temporary_ ? "a temporary database, gone when you leave"
                                : lab::printable(options_.directory)),
         false);
  }

  int read_lines() {
    int code = exit_ok;
    for (std::size_t number = 1; !bench_->is_over();) {
      auto input = editor_->next();
      if (!input) {
        if (input.error().code() == ErrorCode::cancelled) return exit_interrupted;
        complain(fmt::format("standard input:{}: {}", number, input.error().message()));
        return exit_usage;
      }
      bench_->style().width = terminal_width();
      if (input->event == LineEditor::Event::end) break;
      if (input->event == LineEditor::Event::woken) {
        bench_->settle();
      } else if (input->event == LineEditor::Event::interrupted) {
        if (!bench_->interrupt()) show("To leave: quit, or Ctrl-D.\n", false);
      } else {
        code = worse(code, execute(input->line, number++));
      }
    }
    return on_terminal_ ? exit_ok : code;
  }

  // The terminal has shown ^C, and nothing behind it.
  void leave_the_keys_line() {
    if (!std::exchange(behind_the_keys_, true)) editor_->show("\n", false);
  }

  int execute(const std::string& line, std::size_t number) {
    behind_the_keys_ = false;
    if (options_.echo) show(fmt::format("{}{}\n", bench_->prompt(), lab::printable(line)), false);
    const Reply reply =
        bench_->execute(line, on_terminal_ || options_.echo ? "" : "standard input", number);
    // Ctrl-C while it ran has been answered by whatever it ended, if anything.
    if (on_terminal_) static_cast<void>(take_interrupt());
    return reply == Reply::misuse ? exit_usage : reply == Reply::refused ? exit_failed : exit_ok;
  }

  static int worse(int a, int b) { return std::max(a, b); }

  const ShellOptions& options_;
  const bool on_terminal_;
  bool behind_the_keys_ = true;
  Bell bell_;
  std::optional<lab::TemporaryDirectory> temporary_;  // outlives the database in it
  std::unique_ptr<LineEditor> editor_;
  std::unique_ptr<lab::Workbench> bench_;
};

}  // namespace

void add_interactive_shell(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ShellOptions>();
  app.add_option("DIR", options->directory,
                 "Open the interactive shell on this database (created if missing), instead of a "
                 "temporary one");
  app.add_option("--level", options->cell.level,
                 "What sessions begin with: read-uncommitted, read-committed, repeatable-read "
                 "(default), serializable; ru, rc, rr, ser, snapshot")
      ->check(CLI::IsMember({"read-uncommitted", "read-committed", "repeatable-read",
                             "serializable", "ru", "rc", "rr", "ser", "snapshot"}));
  app.add_option("--locking", options->cell.locking, "optimistic (default) or pessimistic")
      ->check(CLI::IsMember({"optimistic", "pessimistic"}));
  app.add_option("--color", options->cell.color, "auto (default), always or never")
      ->check(CLI::IsMember({"auto", "always", "never"}));
  app.add_option("--mode", options->mode, "Show answers as text (default), table or json")
      ->check(CLI::IsMember({"text", "table", "json"}));
  app.add_option("--durability", options->durability,
                 "sync (default), or none: commits survive the process, not the machine")
      ->check(CLI::IsMember({"sync", "none"}));
  app.add_option("--victim", options->victim,
                 "Whom a deadlock costs its transaction: youngest (default), oldest, "
                 "fewest_writes, requester, lowest_priority")
      ->check(
          CLI::IsMember({"youngest", "oldest", "fewest_writes", "requester", "lowest_priority"}));
  app.add_flag("--echo", options->echo,
               "Show prompts and the lines that are read, as a terminal would");
  invocation.otherwise = [options] { return Shell(*options).run(); };
}

}  // namespace isolde::shell
