// Line editing by GNU readline, through its callbacks: the poll() is ours, so that what happens in
// the sessions shows at once, above what is being typed.
#include <poll.h>
#include <unistd.h>

// readline's headers want these two first.
#include <readline/history.h>
#include <readline/readline.h>

#include <array>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>

#include "interrupt.h"
#include "line_editor.h"

namespace isolde::shell {
namespace {

constexpr int most_remembered = 2'000;

volatile std::sig_atomic_t continued = 0;
extern "C" void note_continued(int) { continued = 1; }

// ISOLDE_HISTORY names the file, and none if it is empty.
std::string history_file() {
  if (const char* named = std::getenv("ISOLDE_HISTORY"); named != nullptr) return named;
  const char* home = std::getenv("HOME");
  return home == nullptr || *home == '\0' ? std::string() : std::string(home) + "/.isolde_history";
}

// readline is a single one, with global state; so is this.
class Terminal final : public LineEditor {
 public:
  Terminal(const Bell& bell, Questions questions)
      : bell_(bell), questions_(std::move(questions)), history_file_(history_file()) {
    instance = this;
    std::setlocale(LC_CTYPE, "");  // for the widths of characters
    rl_readline_name = "isolde";
    rl_catch_signals = 0;  // Ctrl-C is ours: it ends a wait, or empties the line
    rl_attempted_completion_function = complete;
    rl_basic_word_break_characters = " \t;";
    rl_completer_word_break_characters = rl_basic_word_break_characters;
    rl_completer_quote_characters = "";
    using_history();
    stifle_history(most_remembered);
    if (!history_file_.empty()) ::read_history(history_file_.c_str());
    struct sigaction action {};
    action.sa_handler = note_continued;
    ::sigaction(SIGCONT, &action, nullptr);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() override {
    stop();
    instance = nullptr;
    if (!history_file_.empty()) ::history_truncate_file(history_file_.c_str(), most_remembered);
  }

  Result<Input> next() override {
    if (!pasted_.empty()) return take_pasted();
    start();
    for (;;) {
      std::array<pollfd, 3> sources{pollfd{STDIN_FILENO, POLLIN, 0},
                                    pollfd{bell_.descriptor(), POLLIN, 0},
                                    pollfd{interrupt_descriptor(), POLLIN, 0}};
      const int ready = ::poll(sources.data(), sources.size(), -1);
      if (continued != 0) {  // after Ctrl-Z the terminal was the other shell's
        continued = 0;
        rl_prep_terminal(1);
        rl_forced_update_display();
      }
      if (ready < 0 && errno != EINTR) {
        return Error(ErrorCode::io_error, "cannot wait for the terminal");
      }
      if (ready < 0 || sources[2].revents != 0) {
        if (auto input = answer_signal()) return std::move(*input);
        continue;
      }
      if (bell_.take()) return Input{Event::woken, {}};
      if (sources[0].revents == 0) continue;
      rl_callback_read_char();
      if (!finished_) continue;
      finished_ = false;
      if (!line_) return Input{Event::end, {}};
      return take_line();
    }
  }

  void show(std::string_view text, bool error) override {
    if (active_) rl_clear_visible_line();
    std::FILE* stream = error ? stderr : stdout;
    if (error) std::fflush(stdout);
    std::fwrite(text.data(), 1, text.size(), stream);
    std::fflush(stream);
    if (!active_) return;
    rl_set_prompt(questions_.prompt().c_str());
    rl_on_new_line();
    rl_redisplay();
  }

 private:
  void start() {
    if (active_) {
      // Something was shown, and may have changed the session's state.
      rl_set_prompt(questions_.prompt().c_str());
      rl_redisplay();
      return;
    }
    active_ = true;
    rl_callback_handler_install(questions_.prompt().c_str(), finish_line);
  }

  // While a command runs the terminal is as it was: Ctrl-C and Ctrl-Z work, output is plain.
  void stop() {
    if (!active_) return;
    active_ = false;
    rl_callback_handler_remove();
  }

  std::optional<Result<Input>> answer_signal() {
    if (take_interrupt()) {
      const bool empty = rl_end == 0;
      rl_callback_sigcleanup();
      rl_free_line_state();
      std::fputs("^C\n", stdout);
      rl_replace_line("", 1);
      rl_on_new_line();
      rl_redisplay();
      if (empty) return Result<Input>(Input{Event::interrupted, {}});
    } else if (interrupted()) {
      stop();
      return Result<Input>(Error(ErrorCode::cancelled, "told to end"));
    }
    return std::nullopt;
  }

  // Several lines at once were pasted.
  Input take_line() {
    std::string line = std::move(*line_);
    line_.reset();
    std::size_t from = 0;
    for (std::size_t at = line.find('\n'); at != std::string::npos; at = line.find('\n', from)) {
      pasted_.push_back(line.substr(from, at - from));
      from = at + 1;
    }
    pasted_.push_back(line.substr(from));
    return take_pasted();
  }

  Input take_pasted() {
    Input input{Event::line, std::move(pasted_.front())};
    pasted_.pop_front();
    remember(input.line);
    return input;
  }

  void remember(const std::string& line) {
    if (line.find_first_not_of(" \t") == std::string::npos) return;
    const HIST_ENTRY* last = history_length == 0 ? nullptr : ::history_get(history_length);
    if (last != nullptr && line == last->line) return;
    ::add_history(line.c_str());
    if (history_file_.empty() || ::append_history(1, history_file_.c_str()) == 0) return;
    ::write_history(history_file_.c_str());  // there was none
  }

  static void finish_line(char* text) {
    Terminal& self = *instance;
    self.finished_ = true;
    if (text != nullptr) self.line_ = text;
    std::free(text);
    self.stop();
    if (!self.line_) std::fputs("\n", stdout);
  }

  static char** complete(const char* word, int start, int end) {
    static_cast<void>(start);
    const std::string line(rl_line_buffer, static_cast<std::size_t>(end));
    if (instance->questions_.completes_files(line)) return nullptr;
    rl_attempted_completion_over = 1;  // never files
    instance->candidates_ = instance->questions_.completions(line);
    return rl_completion_matches(word, next_candidate);
  }

  static char* next_candidate(const char*, int state) {
    static std::size_t next = 0;
    if (state == 0) next = 0;
    const std::vector<std::string>& candidates = instance->candidates_;
    return next == candidates.size() ? nullptr : ::strdup(candidates[next++].c_str());
  }

  static inline Terminal* instance = nullptr;

  const Bell& bell_;
  Questions questions_;
  std::string history_file_;
  bool active_ = false;    // a line is being typed
  bool finished_ = false;  // it is complete: line_, or nothing at the end of the input
  std::optional<std::string> line_;
  std::deque<std::string> pasted_;
  std::vector<std::string> candidates_;
};

}  // namespace

std::unique_ptr<LineEditor> LineEditor::create(const Bell& bell, Questions questions) {
  if (::isatty(STDIN_FILENO) != 1 || ::isatty(STDOUT_FILENO) != 1) return plain();
  return std::make_unique<Terminal>(bell, std::move(questions));
}

}  // namespace isolde::shell
