// The interactive shell without its terminal: sessions on one database, each line that is typed,
// and what is to be seen of it.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "isolde/database.h"
#include "lab/play/conductor.h"
#include "lab/play/session.h"
#include "lab/script/cell.h"
#include "lab/workbench/direct_playground.h"
#include "lab/workbench/inside_json.h"
#include "lab/workbench/screen.h"
#include "lab/workbench/session_log.h"
#include "lab/workbench/shell_command.h"

namespace isolde::lab {

// What the workbench needs from the caller that reads the lines.
class Host {
 public:
  enum class Waited : std::uint8_t { woken, timed_out, interrupted };

  virtual ~Host() = default;
  // Shows text: whole lines. `error`: of something that could not be done as it was typed.
  virtual void show(std::string_view text, bool error) = 0;
  // Waits until something has called woken() since the last wait, or for so long.
  virtual Waited wait(std::optional<std::chrono::milliseconds> longest) = 0;
  // Ctrl-C has been hit: what runs shall end. From any thread.
  virtual bool interrupted() const = 0;
  // A session has been woken, by whatever thread ended its wait; see Workbench::settle().
  virtual void woken() = 0;
  // The whole of a file. Errors: io_error, permission_denied, invalid_argument (too large).
  virtual Result<std::string> read(const std::string& file) = 0;
  // Writes a file whole or not at all. Errors: io_error, permission_denied, disk_full.
  virtual Result<void> write(const std::string& file, std::string_view text) = 0;
};

// Sessions are threads of which one runs at a time, as in a play (see Turns): so an answer is the
// same each time, and a blocked session leaves the prompt free.
//
// Not thread-safe: everything is called by the thread that reads the lines.
class Workbench {
 public:
  struct Setting {
    std::optional<std::filesystem::path> directory;  // nothing: a temporary database
    Cell cell;                                       // of sessions that name none
    Options database;
  };
  // How a line went: `misuse` was not understood, `refused` could not be done.
  enum class Reply : std::uint8_t { done, refused, misuse };

  // `host` must outlive it.
  Workbench(Setting setting, ScreenStyle style, Host& host);
  Workbench(const Workbench&) = delete;
  Workbench& operator=(const Workbench&) = delete;
  ~Workbench();

  // Opens the database, with session A. Errors: those of Database::open.
  Result<void> open();
  // Executes one line. `name` and `line_number`: where it stands, for errors; nothing for the name:
  // where it was typed, right above.
  Reply execute(std::string_view line, std::string_view name = {}, std::size_t line_number = 0);
  // Goes on with sessions that time has woken, and shows what came of it.
  void settle();
  // `quit` was typed.
  bool is_over() const noexcept { return over_; }
  // Rolls back what is open, tells so, and closes the database. False if anything was open or the
  // database could not be closed in good order.
  bool finish();
  // Ends the wait of the session at the prompt, as `cancel` does. False if it does not wait.
  bool interrupt();

  // "A[rr optimistic open]> ", with colours where `marked` says so: each escape between \001 and
  // \002, as line editors want it.
  std::string prompt(bool marked = false) const;
  ScreenStyle& style() noexcept { return screen_.style(); }
  // What the word that ends the line could become, each in full, sorted.
  std::vector<std::string> completions(std::string_view line);
  // Whether that word names a file.
  static bool completes_files(std::string_view line);

 private:
  using Clock = std::chrono::steady_clock;

  // A line for a session, as a step of a script that is being written.
  struct TypedStep {
    Step step;
    std::size_t record = 0;  // index into the conductor's
    Cell cell;
    std::optional<Blocking> blocked;
    bool done = false;
    bool by_hand = false;  // `cancel` or Ctrl-C ended it
    Clock::time_point blocked_at;
  };
  // A session, open or closed; its number is the conductor's.
  struct Seat {
    std::string name;
    TypedStep* at = nullptr;  // in progress
    std::size_t steps = 0;
  };
  // The last transaction that was aborted by an error.
  struct Abort {
    std::string session;
    std::string step;
    std::string command;
    Error error;
    std::optional<DeadlockReport> deadlock;
  };

  // workbench.cc: lines, sessions, what happens.
  Reply complain(std::string_view line, std::string_view name, std::size_t line_number,
                 const ScriptError& error);
  Reply refuse(const std::string& message);
  std::optional<std::size_t> find_seat(std::string_view name) const;
  std::optional<std::size_t> addressed(const TypedLine& typed);
  Reply no_session(std::string_view name);
  std::size_t seat_for(const std::string& name);
  Reply play(std::size_t seat, TypedLine typed);
  std::string fresh_step_name(std::size_t seat);
  void happened(const PlayEvent& event);
  void show_commands(const TypedStep& typed, const PlayEvent& event);
  void show_block(TypedStep& typed, const PlayEvent& event);
  void note_abort(const TypedStep& typed, const CommandRecord& record);
  const StepRecord& record_of(const TypedStep& typed) const {
    return conductor_.records()[typed.record];
  }
  Outcome outcome_of(const TypedStep& typed) const;
  bool is_open(std::size_t seat) const { return conductor_.session(seat) != nullptr; }
  // It waits, or has a transaction open.
  bool is_busy(std::size_t seat) const;
  const std::string& label_of(std::size_t seat) const { return seats_[seat].name; }
  std::string state_of(std::size_t seat) const;
  void rollback_all();
  void detach();
  Result<void> attach();
  void show(const std::string& text) { host_.show(text, false); }
  Reply tell(const std::string& text) {
    show(text);
    return Reply::done;
  }

  // workbench_commands.cc: the commands to the shell itself.
  Reply run(const ShellCommand& command, std::optional<std::size_t> seat);
  Reply run_here(const ShellCommand& command, std::size_t seat);
  Reply open_session(const ShellCommand& command);
  Reply use(const std::string& name);
  Reply list_sessions();
  Reply close_session(const std::string& name);
  Reply wait(const ShellCommand& command);
  Reply cancel(std::size_t seat);
  Reply source(const std::string& file);
  Reply crash();
  Reply reopen();
  Reply fault();
  Reply help(const std::string& word);
  Reply help_on_all();

  // workbench_inside.cc: looking inside.
  std::vector<SeenVersion> seen_versions(const std::string& keyspace, const std::string& key,
                                         const std::vector<VersionInfo>& versions) const;
  Reply versions(const ShellCommand& command);
  Reply snapshot(std::size_t seat);
  Reply touches(std::size_t seat, bool writes);
  Reply locks();
  Reply waits(bool dot);
  Reply deadlocks(bool dot);
  std::vector<std::string> why(const Abort& abort) const;
  Reply explain();
  Reply verdict();
  Reply stats();
  Reply history();
  Reply keyspaces();

  // completion.cc
  std::vector<std::string> live_keys(const std::string& keyspace, const std::string& prefix);

  // workbench_save.cc
  Reply save(const std::string& file);
  // Precondition: origin_ is known.
  std::string script_text(std::string_view file);

  Setting setting_;
  Screen screen_;
  Host& host_;
  DirectPlayground playground_;
  Conductor conductor_;
  std::shared_ptr<SessionLog> log_;
  std::shared_ptr<Observer> bell_;
  std::vector<Seat> seats_;
  std::deque<TypedStep> typed_;  // since the database was opened
  std::set<std::string> step_names_;
  std::vector<std::string> origin_keyspaces_;
  std::optional<State> origin_;  // what it held then; nothing: more than a script should
  std::size_t here_ = 0;         // the session at the prompt
  std::optional<Abort> abort_;
  bool over_ = false;
  int nested_ = 0;  // files being sourced
};

}  // namespace isolde::lab
