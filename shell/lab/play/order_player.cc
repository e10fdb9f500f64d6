#include "lab/play/order_player.h"

#include <map>
#include <string>
#include <utility>

#include "lab/check/checker.h"
#include "lab/history/recorder.h"
#include "lab/text/text.h"

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

  // Erases rather than reopens: the versions that pile up are for the reclaimer.
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
};

}  // namespace

// Between the plays it is deaf: how they are prepared and looked at is no part of them.
class OrderPlayer::PlayRecorder final : public Recorder {
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

OrderPlayer::OrderPlayer(std::unique_ptr<Playground> playground)
    : playground_(std::move(playground)),
      recorder_(std::make_shared<PlayRecorder>()),
      conductor_(*playground_, turns_, Conductor::SessionWait::at_once,
                 [this](const PlayEvent& event) {
                   blocked_ = blocked_ || event.kind == PlayEvent::Kind::blocked;
                   events_.push_back(event);
                 }) {
  playground_->database().add_observer(recorder_);
  conductor_.attach();
}

OrderPlayer::~OrderPlayer() {
  abandon();
  conductor_.detach();
  playground_->database().remove_observer(recorder_);
}

Result<std::unique_ptr<OrderPlayer>> OrderPlayer::open() {
  auto playground = ReusedPlayground::open();
  if (!playground) return playground.error();
  return std::unique_ptr<OrderPlayer>(new OrderPlayer(std::move(*playground)));
}

std::variant<PlayedOrder, PlayFailure> OrderPlayer::play(const Script& script, Cell cell,
                                                         const std::vector<std::size_t>& steps) {
  if (auto failure = start(script, cell)) return std::move(*failure);
  conductor_.play(script, steps);
  return finish();
}

std::optional<PlayFailure> OrderPlayer::start(const Script& script, Cell cell) {
  abandon();
  if (auto fresh = playground_->restart(); !fresh) {
    return PlayFailure{std::nullopt, fresh.error()};
  }
  recorder_->clear();
  recorder_->listen(true);
  auto setup = conductor_.play_setup(script.setup, cell);
  if (auto* failure = std::get_if<PlayFailure>(&setup)) return std::move(*failure);
  for (const SessionDefinition& session : script.sessions) {
    conductor_.add_session(session.name, cell);
  }
  return std::nullopt;
}

const std::vector<PlayEvent>& OrderPlayer::step(const Step& step) {
  events_.clear();
  conductor_.play(step);
  return events_;
}

bool OrderPlayer::let_time_pass() {
  events_.clear();
  return conductor_.let_time_pass();
}

std::variant<PlayedOrder, PlayFailure> OrderPlayer::finish() {
  recorder_->listen(false);
  PlayedOrder play;
  play.history = recorder_->history();
  play.verdict = check(play.history);
  auto state = playground_->state();
  if (!state) {
    abandon();
    return PlayFailure{std::nullopt, state.error()};
  }
  play.state = std::move(*state);
  play.blocked = blocked_;
  play.deadlock = turns_->saw_deadlock();
  play.never_played = conductor_.never_played();
  play.endings.reserve(conductor_.session_count());
  for (std::size_t session = 0; session < conductor_.session_count(); ++session) {
    play.endings.push_back(conductor_.session(session)->endings());
  }
  play.steps = conductor_.take_records();
  abandon();
  return play;
}

void OrderPlayer::abandon() {
  recorder_->listen(false);
  conductor_.restart();
  events_.clear();
  blocked_ = false;
}

}  // namespace isolde::lab
