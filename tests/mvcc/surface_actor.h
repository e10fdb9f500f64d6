// An actor of the surface model: does what its script says, and writes down what it was told.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "isolde/isolde.h"
#include "tests/mvcc/surface_history.h"
#include "tests/mvcc/surface_plan.h"
#include "tests/mvcc/surface_world.h"

namespace isolde::test::surface {

// Numbers drawn from a step's dice, the same each time.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : state_(seed) {}
  std::size_t draw(std::size_t below) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<std::size_t>((state_ >> 33) % below);
  }
  bool chance(unsigned percent) { return draw(100) < percent; }

 private:
  std::uint64_t state_;
};

class Actor {
 public:
  Actor(World& world, std::string name) : world_(world), name_(std::move(name)) {}
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  ~Actor() { cursor_.reset(); }

  const std::string& name() const { return name_; }
  void set_others(std::vector<Actor*> others) { others_ = std::move(others); }
  void play(const Script& script);
  // Transactions that have ended, whose handles are still there.
  std::vector<Transaction> take_finished();

 private:
  struct OpenCursor {
    Cursor cursor;
    std::size_t number;
    bool locks;
    Place place;  // the keyspace
    KeyRange left;
    ScanOptions options;
    std::size_t yielded = 0;
    bool at_end = false;
    OwnWrites own;
    Moment opened;
    std::size_t savepoints;  // that it was opened in
    bool is_undone = false;  // one of them has been rolled back
  };
  struct Mark {
    Savepoint savepoint;
    OwnWrites own;
    std::size_t writes;  // of the record, before it
  };
  // An operation of the transaction while it runs.
  struct Call {
    Moment moment;
    std::string what;
    std::uint64_t changes;  // of own writes, before it
    std::optional<Place> place;
    bool at_commit = false;
    bool may_give_up = false;
  };

  void step(const Step& step);
  bool in_transaction() const { return txn_ != nullptr && record_ != nullptr; }
  Call begin_call(std::string what, std::optional<Place> place = {});
  // False: refused, and noted. What the answer was is for the trace.
  template <typename T>
  bool answered(Call& call, const Result<T>& result, const std::string& answer = "ok") {
    return result ? (accept(call, answer), true) : (refuse(call, result.error()), false);
  }
  void accept(Call& call, const std::string& answer);
  void refuse(Call& call, const Error& error);
  void note_snapshot(const Call& call);
  void note_read(Call& call, Read read);
  void note_write(const Call& call, const Place& place, Own own);
  void note_lock(const Call& call, const Place& place, std::optional<KeyRange> range, LockMode mode,
                 bool certain = true);
  void note_end(const Call& call, End end, std::uint64_t commit, std::optional<ErrorCode> cause);
  bool waits_may_end() const;
  OwnWrites own_of(const Place& place) const;
  KeyRange random_range(Dice& dice) const;
  std::optional<Keyspace> keyspace_of(const Step& step) {
    return world_.handle(step.keyspace, step.dice);
  }
  static std::string key_of(const Step& step) { return std::string(1, "abcde"[step.key]); }

  void begin(const Step& step);
  void draw_cell(Dice& dice, TransactionOptions& options) const;
  void adopt(Transaction& txn, TransactionRecord& record);
  void get(const Step& step);
  void scan(const Step& step);
  void note_scan(Call& call, Read read, const ScanOptions& options);
  void open_cursor(const Step& step);
  void step_cursor();
  void put_or_erase(const Step& step);
  void insert(const Step& step);
  void add(const Step& step);
  void add_and_get(const Step& step);
  void compare_and_set(const Step& step);
  void savepoint();
  void rollback_to(const Step& step, bool release);
  void commit();
  void rollback();
  void abandon_handle();
  void move_handle();
  void put_away();
  void use_finished(const Step& step);
  void use_moved_from();
  void second_thread(const Step& step);
  void set_lock_timeout(const Step& step);
  void cancel(bool self, const Step& step);
  void change_catalogue(const Step& step);
  void bulk_load(const Step& step, CatalogueCall& call);
  void upkeep(const Step& step);
  void versions(const Step& step);
  void look_around();
  void transact(const Step& step);
  Result<void> work(const Step& step, Dice& dice);
  void misuse(const Step& step);
  void must_be_finished(const char* what, ErrorCode code);

  World& world_;
  std::string name_;
  std::vector<Actor*> others_;
  std::optional<Transaction> owned_;
  Transaction* txn_ = nullptr;
  TransactionRecord* record_ = nullptr;
  std::optional<OpenCursor> cursor_;
  std::vector<Mark> marks_;
  std::uint64_t changes_ = 0;
  bool intruded_ = false;   // another actor has been inside its transaction
  std::size_t guests_ = 0;  // that are inside now
  std::optional<std::chrono::milliseconds> timeout_;
  std::map<Place, Value> seen_;
  std::vector<Transaction> finished_;
};

}  // namespace isolde::test::surface
