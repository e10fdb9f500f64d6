#include "lab/play/order_player.h"

#include <algorithm>
#include <map>
#include <utility>

#include "lab/history/recorder.h"
#include "lab/play/fiber_turns.h"
#include "lab/play/playground.h"

namespace isolde::lab {
namespace {

// One database for all plays. A play knows the keyspaces that it made itself, and the default one.
class ReusedPlayground final : public Playground {
 public:
  static Result<std::unique_ptr<ReusedPlayground>> open() {
    auto directory = TemporaryDirectory::create("isolde-explore-");
    if (!directory) return directory.error();
    // Nothing here outlives the process, so nothing needs a sync.
    Options options;
    options.durability = Durability::none();
    options.log_segment_bytes = std::size_t{1} << 20;
    options.initial_map_bytes = std::size_t{1} << 26;
    options.checkpoint_log_bytes = std::size_t{16} << 20;
    auto database = Database::open(directory->path() / "db", options);
    if (!database) return database.error();
    return std::unique_ptr<ReusedPlayground>(
        new ReusedPlayground(std::move(*directory), std::move(*database)));
  }

  // Erases rather than reopens: the versions that pile up are the reclaimer's business.
  Result<void> restart() override {
    known_.clear();
    for (const auto& [name, keyspace] : all_) {
      if (auto erased = erase_all(keyspace); !erased) return erased;
    }
    return create(default_keyspace_name);
  }

  Database& database() override { return database_; }

  Result<Keyspace> find(std::string_view name) override {
    const auto found = known_.find(name);
    if (found != known_.end()) return found->second;
    auto keyspace = database_.find_keyspace(name);
    if (!keyspace) return keyspace.error();
    // It is there, but this play has not created it.
    return Error(ErrorCode::keyspace_not_found, "there is no keyspace " + quoted(name) +
                                                    "; create it in setup: keyspace " +
                                                    std::string(name));
  }

  Result<void> create(std::string_view name) override {
    if (known_.count(name) != 0) return {};
    auto found = all_.find(name);
    if (found == all_.end()) {
      auto created = database_.keyspace(name);
      if (!created) return created.error();
      found = all_.emplace(std::string(name), *created).first;
    }
    known_.emplace(found->first, found->second);
    return {};
  }

  std::string script_name(std::string_view database_name) const override {
    return std::string(database_name);
  }
  Error told(const Error& error) const override { return directory_.seen_from_here(error); }

  Result<State> state() override {
    State state;
    auto txn = database_.begin({.isolation = Isolation::repeatable_read, .read_only = true});
    if (!txn) return txn.error();
    for (const auto& [name, keyspace] : known_) {
      auto scanned = txn->scan(
          keyspace, KeyRange::all(),
          [&, of = std::string_view(name)](std::string_view key, std::string_view value) {
            state.emplace(std::pair(std::string(of), std::string(key)), std::string(value));
          });
      if (!scanned) return scanned.error();
    }
    if (auto ended = txn->rollback(); !ended) return ended.error();
    return state;
  }

  const State& origin() const override { return origin_; }

 private:
  using Keyspaces = std::map<std::string, Keyspace, std::less<>>;

  ReusedPlayground(TemporaryDirectory directory, Database database)
      : directory_(std::move(directory)), database_(std::move(database)) {}

  Result<void> erase_all(const Keyspace& keyspace) {
    auto txn = database_.begin({.isolation = Isolation::read_committed});
    if (!txn) return txn.error();
    std::vector<std::string> keys;
    auto scanned =
        txn->scan(keyspace, KeyRange::all(),
                  [&](std::string_view key, std::string_view) { keys.emplace_back(key); });
    if (!scanned) return scanned.error();
    for (const std::string& key : keys) {
      if (auto erased = txn->erase(keyspace, key); !erased) return erased;
    }
    if (auto committed = txn->commit(); !committed) return committed.error();
    return {};
  }

  TemporaryDirectory directory_;  // outlives the database in it
  Database database_;
  Keyspaces all_;
  Keyspaces known_;  // to this play
  State origin_;
};

// Between the plays it is deaf: how they are prepared and looked at is no part of them.
class PlayRecorder final : public Recorder {
 public:
  void listen(bool on) noexcept { on_ = on; }

  void on_begin(const EventTransaction& self) override {
    if (on_) Recorder::on_begin(self);
  }
  void on_read(const EventTransaction& self, const ReadEvent& event) override {
    if (on_) Recorder::on_read(self, event);
  }
  void on_scan(const EventTransaction& self, const ScanEvent& event) override {
    if (on_) Recorder::on_scan(self, event);
  }
  void on_write(const EventTransaction& self, const WriteEvent& event) override {
    if (on_) Recorder::on_write(self, event);
  }
  void on_undo(const EventTransaction& self, std::uint64_t sequence) override {
    if (on_) Recorder::on_undo(self, sequence);
  }
  void on_commit(const EventTransaction& self, Timestamp commit) override {
    if (on_) Recorder::on_commit(self, commit);
  }
  void on_abort(const EventTransaction& self, const Error* cause) override {
    if (on_) Recorder::on_abort(self, cause);
  }

 private:
  bool on_ = false;
};

}  // namespace

class OrderPlayer::Stagehand {
 public:
  explicit Stagehand(std::unique_ptr<ReusedPlayground> playground)
      : playground_(std::move(playground)) {
    playground_->database().add_observer(recorder_);
    playground_->database().add_observer(turns_);
  }
  Stagehand(const Stagehand&) = delete;
  Stagehand& operator=(const Stagehand&) = delete;
  ~Stagehand() {
    clear();
    playground_->database().remove_observer(turns_);
    playground_->database().remove_observer(recorder_);
  }

  std::optional<PlayFailure> start(const Script& script, Cell cell) {
    clear();
    if (auto fresh = playground_->restart(); !fresh) {
      return PlayFailure{std::nullopt, fresh.error()};
    }
    context_.emplace(SessionContext{script, *playground_, cell, {}, nullptr});
    recorder_->clear();
    recorder_->listen(true);
    if (auto failure = play_setup()) return failure;
    std::vector<std::string> names;
    names.reserve(script.sessions.size());
    for (const SessionDefinition& session : script.sessions) names.push_back(session.name);
    turns_->assign(names);
    context_->turns = turns_.get();
    for (std::string& name : names) sessions_.emplace_back(std::move(name), *context_);
    in_progress_.assign(sessions_.size(), std::nullopt);
    return std::nullopt;
  }

  bool can_step(std::size_t session) const { return turns_->is_idle(session); }

  void step(const Step& step) {
    slot_.clear();
    play(step);
    settle();
  }

  void play_or_defer(const Step& step) {
    slot_.clear();
    const bool behind = std::any_of(deferred_.begin(), deferred_.end(), [&](const Step* other) {
      return other->session == step.session;
    });
    if (behind || !can_step(step.session)) {
      deferred_.push_back(&step);
    } else {
      play(step);
    }
    settle();
  }

  bool let_time_pass() {
    slot_.clear();
    std::optional<std::size_t> first;
    for (std::size_t session = 0; session < sessions_.size(); ++session) {
      const bool waits = turns_->state(session) == FiberTurns::State::blocked &&
                         !turns_->waited_for(session) && sessions_[session].has_timeout();
      if (waits && (!first || sessions_[session].timeout() < sessions_[*first].timeout())) {
        first = session;
      }
    }
    if (!first) return false;
    turns_->let_time_pass(*first);
    follow(*first);
    settle();
    return true;
  }

  const std::vector<SlotPart>& slot() const { return slot_; }
  bool has_blocked() const { return blocked_; }

  std::variant<PlayedOrder, PlayFailure> finish() {
    recorder_->listen(false);
    PlayedOrder play;
    play.history = recorder_->history();
    play.verdict = check(play.history);
    auto state = playground_->state();
    if (!state) {
      clear();
      return PlayFailure{std::nullopt, state.error()};
    }
    play.state = std::move(*state);
    play.blocked = blocked_;
    play.deadlock = turns_->saw_deadlock();
    play.never_played = deferred_;
    play.endings.reserve(sessions_.size());
    for (const Session& session : sessions_) play.endings.push_back(session.endings());
    for (std::size_t session = 0; session < sessions_.size(); ++session) {
      if (!in_progress_[session]) continue;
      StepRecord& record = records_[in_progress_[session]->record];
      record.outcome = Outcome::of({});
      record.outcome.blocked = Blocking{turns_->blockers(session), std::nullopt, false};
    }
    // The blocked hold on to their records, which stay where they are, and write no more to them:
    // clear() stops them first.
    play.steps = std::move(records_);
    clear();
    return play;
  }

  // As Conductor::clear(): rolls back what is open until nobody waits.
  void clear() {
    recorder_->listen(false);
    for (Session& session : sessions_) session.stop();
    for (;;) {
      bool waiting = false;
      for (std::size_t session = 0; session < sessions_.size(); ++session) {
        if (turns_->waited_for(session)) turns_->end_wait(session);
        if (turns_->is_idle(session)) sessions_[session].finish();
      }
      while (const auto woken = turns_->next_woken()) turns_->resume(*woken);
      for (std::size_t session = 0; session < sessions_.size(); ++session) {
        waiting = waiting || !turns_->is_idle(session);
      }
      if (!waiting) break;
    }
    for (Session& session : sessions_) session.finish();
    sessions_.clear();
    records_.clear();
    jobs_.clear();
    in_progress_.clear();
    deferred_.clear();
    blocked_ = false;
    context_.reset();
  }

 private:
  // A step that has begun and is not done.
  struct Progress {
    std::size_t record = 0;
    std::size_t told = 0;  // commands that are in a slot's parts
    bool blocked = false;
    std::vector<std::string> by;
  };

  std::optional<PlayFailure> play_setup() {
    Session session("setup", *context_);
    for (const Command& command : context_->script.setup) {
      const Outcome outcome = session.execute(command);
      const auto* put = std::get_if<PutCommand>(&command.action);
      const bool there_already = put != nullptr && put->insert && outcome.error &&
                                 outcome.error->code() == ErrorCode::already_exists;
      if (outcome.error && !there_already) return PlayFailure{command.place, *outcome.error};
    }
    return std::nullopt;
  }

  void play(const Step& step) {
    in_progress_[step.session] = Progress{records_.size(), 0, false, {}};
    StepRecord& record = records_.emplace_back();
    record.step = &step;
    Session& session = sessions_[step.session];
    const auto& job =
        jobs_.emplace_back([&session, &step, &record] { session.play(step, record); });
    turns_->run(step.session, job);
    follow(step.session);
  }

  // What has come of the turn that a session had.
  void follow(std::size_t session) {
    Progress& progress = *in_progress_[session];
    StepRecord& record = records_[progress.record];
    const bool done = turns_->is_idle(session);
    slot_.push_back(
        {session, &record, progress.told, record.commands.size(), done ? nullptr : record.current});
    progress.told = record.commands.size();
    if (!done) {
      blocked_ = true;
      if (!progress.blocked) progress.by = turns_->blockers(session);
      progress.blocked = true;
      return;
    }
    if (progress.blocked) {
      record.outcome.blocked = Blocking{std::move(progress.by), std::nullopt, true};
    }
    in_progress_[session].reset();
  }

  // T3: the woken, then whoever waited for another session, then the deferred.
  void settle() {
    for (;;) {
      if (const auto woken = turns_->next_woken()) {
        turns_->resume(*woken);
        follow(*woken);
      } else if (!end_a_wait() && !play_a_deferred_step()) {
        return;
      }
    }
  }

  bool end_a_wait() {
    for (std::size_t session = 0; session < sessions_.size(); ++session) {
      const auto other = turns_->waited_for(session);
      if (!other || !turns_->is_idle(*other)) continue;
      turns_->end_wait(session);
      return true;
    }
    return false;
  }

  bool play_a_deferred_step() {
    const auto ready = std::find_if(deferred_.begin(), deferred_.end(),
                                    [this](const Step* step) { return can_step(step->session); });
    if (ready == deferred_.end()) return false;
    const Step& step = **ready;
    deferred_.erase(ready);
    play(step);
    return true;
  }

  std::unique_ptr<ReusedPlayground> playground_;
  std::shared_ptr<PlayRecorder> recorder_ = std::make_shared<PlayRecorder>();
  std::shared_ptr<FiberTurns> turns_ = std::make_shared<FiberTurns>();
  std::optional<SessionContext> context_;  // of the play that is on
  std::deque<Session> sessions_;
  std::deque<StepRecord> records_;  // the sessions write into them
  std::deque<std::function<void()>> jobs_;
  std::vector<std::optional<Progress>> in_progress_;  // by session
  std::vector<const Step*> deferred_;
  std::vector<SlotPart> slot_;
  bool blocked_ = false;
};

OrderPlayer::OrderPlayer(std::unique_ptr<Stagehand> stagehand) : stagehand_(std::move(stagehand)) {}
OrderPlayer::~OrderPlayer() = default;

Result<std::unique_ptr<OrderPlayer>> OrderPlayer::open() {
  auto playground = ReusedPlayground::open();
  if (!playground) return playground.error();
  return std::unique_ptr<OrderPlayer>(
      new OrderPlayer(std::make_unique<Stagehand>(std::move(*playground))));
}

std::variant<PlayedOrder, PlayFailure> OrderPlayer::play(const Script& script, Cell cell,
                                                         const std::vector<std::size_t>& steps) {
  if (auto failure = start(script, cell)) return std::move(*failure);
  for (const std::size_t step : steps) stagehand_->play_or_defer(script.steps[step]);
  while (stagehand_->let_time_pass()) continue;
  return finish();
}

std::optional<PlayFailure> OrderPlayer::start(const Script& script, Cell cell) {
  return stagehand_->start(script, cell);
}
bool OrderPlayer::can_step(std::size_t session) const { return stagehand_->can_step(session); }
const std::vector<SlotPart>& OrderPlayer::step(const Step& step) {
  stagehand_->step(step);
  return stagehand_->slot();
}
bool OrderPlayer::let_time_pass() { return stagehand_->let_time_pass(); }
const std::vector<SlotPart>& OrderPlayer::turns() const { return stagehand_->slot(); }
bool OrderPlayer::has_blocked() const { return stagehand_->has_blocked(); }
std::variant<PlayedOrder, PlayFailure> OrderPlayer::finish() { return stagehand_->finish(); }
void OrderPlayer::abandon() { stagehand_->clear(); }

}  // namespace isolde::lab
