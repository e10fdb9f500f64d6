// The database of one run of the surface model, what its actors share, and the trace of what they
// do.
#pragma once

#include <atomic>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "isolde/isolde.h"
#include "tests/mvcc/surface_history.h"
#include "tests/mvcc/surface_plan.h"
#include "tests/support/crash_world.h"
#include "tests/support/fault_file_system.h"

namespace isolde::test::surface {

// The lines of a run, in memory that survives the process that writes them. Thread-safe.
class Trace {
 public:
  static constexpr std::size_t most_bytes = std::size_t{1} << 18;
  struct Memory {
    std::uint64_t run = 0;
    std::size_t used = 0;
    std::size_t failure_used = 0;
    char text[most_bytes];
    char failure[most_bytes];
  };

  explicit Trace(Memory& memory) : memory_(memory) {}
  void clear(std::uint64_t run);
  void line(std::string_view text);
  // "A: get a" and later "A: get a -> 5", in one line if nothing came between.
  void begun(const std::string& actor, const std::string& what);
  void ended(const std::string& actor, const std::string& outcome);
  // An actor gave way at a place inside an operation.
  void gave_way(const std::string& actor, std::string_view place);
  void fail(std::string_view text);

 private:
  void append(std::string_view text);

  Memory& memory_;
  std::mutex mutex_;
  std::string last_actor_;  // whose line is the last, and open
  std::map<std::string, std::string> in_flight_;
  std::map<std::string, std::string> slept_at_;
};

// Thread safety: all but open, reopen and members said to be the main thread's.
class World {
 public:
  World(const Plan& plan, Trace& trace);
  World(const World&) = delete;
  World& operator=(const World&) = delete;
  ~World();

  const Plan& plan() const { return plan_; }
  Database& db() { return *db_; }
  FaultFileSystem& files() { return *files_; }
  Trace& trace() { return trace_; }
  std::size_t session() const { return session_; }
  std::filesystem::path fresh_directory();

  std::uint64_t stamp() { return ++stamps_; }
  std::uint64_t visible();
  std::uint64_t acknowledged() const { return acknowledged_.load(); }
  void acknowledge(std::uint64_t commit);
  Moment begin_moment();
  void end_moment(Moment& moment);

  std::string fresh_number() { return std::to_string(++values_ * 10); }
  std::size_t fresh_id() { return ++values_; }

  // Keyspaces by place in the list of names: "default", "k1", "k2". Nothing: never seen.
  static std::string name_of(std::size_t keyspace);
  std::optional<Keyspace> handle(std::size_t keyspace, std::uint64_t dice);
  void note_handle(const Keyspace& keyspace);

  TransactionRecord& add_transaction();
  void add(CatalogueCall call);
  void add(VersionsCall call);
  void fault(const std::string& what);
  void arm_faults();
  bool faults_are_armed() const { return faults_armed_.load(); }
  // One whose id others may use from now on; and one of those, whether it lives still or not.
  void announce(TransactionRecord& txn);
  TransactionRecord* announced(std::uint64_t dice);
  void note_cancel(TransactionRecord& txn, std::uint64_t asked, std::uint64_t done);

  void take_crash_image(std::uint64_t dice);
  void note_backup(Copy copy);

  // The main thread's, while no actor runs.
  Result<void> open();
  History& history() { return history_; }  // of the session
  Keyspaces keyspaces();                   // of the session, as the database says
  struct Contents {
    std::uint64_t at = 0;
    bool failed = false;
    std::map<std::string, std::map<std::string, std::string>> keyspaces;  // by name
  };
  static Result<Contents> contents(Database& db);
  // Gives the database up; open() begins the next session, with what is left.
  Result<void> end_session(Reopening how);
  std::uint64_t durable();
  std::uint64_t newest_visible() const { return newest_visible_.load(); }
  struct TakenCopy {
    Copy copy;
    std::unique_ptr<FaultFileSystem> files;
  };
  std::vector<TakenCopy>& copies() { return copies_; }
  // While the database is not open.
  Result<Contents> contents_of(TakenCopy& copy);

 private:
  std::filesystem::path directory() const { return directory_.path() / "db"; }

  const Plan& plan_;
  Trace& trace_;
  FastDirectory directory_;
  std::unique_ptr<FaultFileSystem> files_;
  std::optional<Database> db_;
  std::shared_ptr<Observer> observer_;
  std::size_t session_ = 0;
  std::atomic<std::uint64_t> stamps_{0};
  std::atomic<std::uint64_t> values_{0};
  std::atomic<std::uint64_t> acknowledged_{0};
  std::atomic<std::uint64_t> newest_visible_{0};
  std::atomic<bool> faults_armed_{false};

  std::mutex mutex_;  // all below
  std::vector<Keyspace> handles_;
  History history_;
  std::vector<TransactionRecord*> announced_;
  std::vector<TakenCopy> copies_;
  std::size_t directories_ = 0;
};

}  // namespace isolde::test::surface
