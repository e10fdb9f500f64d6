// The base: plain LMDB, one named sub-database a keyspace, exactly the committed state at one
// timestamp, for us and for any LMDB reader.
//
// Rules L4, L5, L7, K1 of the design; layout of the manifest: engine/README.md.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/commit_record.h"
#include "isolde/result.h"
#include "isolde/types.h"

struct MDB_env;
struct MDB_txn;
struct MDB_cursor;

namespace isolde::engine {

class Base;

struct BaseOptions {
  std::size_t initial_map_bytes = std::size_t{64} << 30;
  std::uint32_t max_keyspaces = 256;
  std::uint32_t max_readers = 4096;  // views open at once; more wait for renewals to free some
  bool read_only = false;
  bool create_if_missing = true;
};

struct KeyspaceInfo {
  KeyspaceId id;
  std::string name;
};

// The answer of a point lookup in the base; trivially cheap.
struct BaseLookup {
  enum class Status : std::uint8_t { found, absent, failed };
  Status status = Status::absent;
  int failure = 0;         // LMDB's code if failed: Base::read_error() phrases it
  std::string_view value;  // valid while the view stays open
};

// The LMDB transaction number under which a state of the base was committed. Grows with each
// checkpoint; says which checkpoint a view shows (I3, R1).
struct BaseVersion {
  std::uint64_t value = 0;
  friend constexpr auto operator<=>(const BaseVersion&, const BaseVersion&) = default;
};

// A renewable read view. Move-only. Not thread-safe, but not bound to a thread (MDB_NOTLS): it may
// be used by one thread after the other, with synchronisation between them.
class BaseView {
 public:
  BaseView() = default;
  BaseView(BaseView&& other) noexcept;
  BaseView& operator=(BaseView&& other) noexcept;
  ~BaseView();

  // Opens it, or opens it anew, on the newest state. Errors: io_error; out_of_memory if all
  // max_readers are taken (see Base::close_views in mvcc/README.md).
  Result<void> renew(Base& base);
  // Closes it, keeping what makes the next renew() cheap. It pins no pages then.
  void reset() noexcept;
  // Closes it and gives its reader place back.
  void close() noexcept;

  bool is_open() const noexcept { return open_; }
  // What it shows. Precondition: is_open().
  BaseVersion version() const noexcept { return version_; }

  // Precondition: is_open(). A keyspace that this state does not have answers absent.
  BaseLookup get(KeyspaceId keyspace, std::string_view key) const noexcept;

 private:
  friend class BaseCursor;
  Base* base_ = nullptr;
  MDB_txn* txn_ = nullptr;
  BaseVersion version_;
  bool open_ = false;
};

// A cursor over one keyspace in a view. Reusable: bind() is cheap after the first time on the same
// keyspace. The entries' views are valid until the next call and while the view stays open.
class BaseCursor {
 public:
  struct Position {
    BaseLookup::Status status = BaseLookup::Status::absent;  // absent: past the end
    int failure = 0;
    std::string_view key;
    std::string_view value;
  };

  BaseCursor() = default;
  BaseCursor(BaseCursor&& other) noexcept;
  BaseCursor& operator=(BaseCursor&& other) noexcept;
  ~BaseCursor();

  // Attaches it to a keyspace in an open view; needed again after every renewal of the view. A
  // keyspace that the view does not have is empty.
  Result<void> bind(BaseView& view, KeyspaceId keyspace);
  void close() noexcept;

  Position seek(std::string_view key) noexcept;         // first entry >= key ("" = the first)
  Position seek_before(std::string_view key) noexcept;  // last entry < key
  Position seek_last() noexcept;
  Position next() noexcept;
  Position previous() noexcept;
  // next() for the loop of a scan, which is little else: true if at() is an entry now.
  bool advance() noexcept;
  const Position& at() const noexcept { return at_; }

 private:
  MDB_cursor* cursor_ = nullptr;
  Position at_;  // of the last advance()
  unsigned dbi_ = 0;
  bool empty_ = true;
};

// What a checkpoint writes, in this order: manifest changes, then changes in key order within each
// keyspace (keyspaces in any order). Called inside one LMDB transaction.
class ChangeSource {
 public:
  virtual ~ChangeSource() = default;
  using Sink = std::function<bool(const Change&)>;  // false: stop, the transaction is lost
  virtual void for_each(const Sink& sink) = 0;
};

struct ApplyOutcome {
  enum class Kind : std::uint8_t {
    applied,
    transaction_full,  // MDB_TXN_FULL: nothing happened; try a smaller step
    map_full,          // MDB_MAP_FULL: nothing happened; grow_map() with no view open, try again
    handles_full,      // nothing happened; free_handles() with no view open, try again
  };
  Kind kind = Kind::applied;
  BaseVersion version;  // if applied
};

struct BaseSummary {  // what verify() found
  std::uint64_t keyspaces = 0;
  std::uint64_t keys = 0;
  std::uint64_t bytes = 0;
};

// Thread safety: views and cursors of different threads concurrently with everything; what writes
// (apply, load, discard_load, grow_map, free_handles, accept_foreign_write) one at a time (the
// caller's checkpoint mutex). verify and copy_to may run beside apply; to grow_map and free_handles
// they are open views.
class Base {
 public:
  // Makes sure that `directory` is one, creating it (not its parents), synced. For the owner lock,
  // which lies in it and comes first; open() does it too. Errors: not_a_database,
  // permission_denied, disk_full, io_error.
  static Result<void> prepare_directory(const std::filesystem::path& directory, bool create);

  // Opens `directory`/data.mdb, creating or adopting it (L5). The caller holds the owner lock.
  // Errors: not_a_database, permission_denied, corruption, format_unsupported, invalid_argument
  // (adoption of DUPSORT, INTEGERKEY, REVERSEKEY, named), disk_full, io_error.
  static Result<std::unique_ptr<Base>> open(const std::filesystem::path& directory,
                                            const BaseOptions& options);
  ~Base();

  std::uint64_t database_id() const noexcept;
  // It never had a log: created or adopted just now, or at an opening that did not get as far as
  // note_log_begun().
  bool is_fresh() const noexcept;
  // It has a log now, durably: from here on a missing one is damage. Does nothing unless
  // is_fresh(). Precondition: no view has been opened yet. Errors: disk_full, io_error,
  // out_of_memory.
  Result<void> note_log_begun();
  // The state it is exactly at.
  Timestamp at() const noexcept;
  // The newest checkpoint's version: a view with this version needs no renewal (atomic, acquire).
  BaseVersion version() const noexcept;

  // A stranger has written to the file since our last checkpoint (found at open, by LMDB's
  // transaction number). To be accepted only if the log is empty (L5); else foreign_write_error().
  // Until it is accepted nothing may be applied, and nothing has been changed.
  bool has_foreign_write() const noexcept;
  Error foreign_write_error() const;
  // Makes the manifest fit what is there, as adoption does: new named databases become keyspaces,
  // missing ones are dropped, plain records of the unnamed one move to "default". Precondition: no
  // view has been opened yet. Errors: as adoption.
  Result<void> accept_foreign_write();

  // Keyspaces in the base now, and the id that the next new one gets at least.
  std::vector<KeyspaceInfo> keyspaces() const;
  KeyspaceId next_keyspace_id() const noexcept;

  // Writes the changes and "base is at `at`" in one synced LMDB transaction; version() is stored
  // after it. Creating a keyspace that is there and dropping one that is not are harmless (replay).
  // Errors: disk_full, io_error; corruption if a stranger wrote to the LMDB file meanwhile.
  Result<ApplyOutcome> apply(Timestamp at, ChangeSource& changes);

  // Doubles the map. Precondition: no view of this base is open anywhere (reset() is enough).
  // Errors: out_of_memory.
  Result<void> grow_map();
  // Gives the LMDB handles of dropped keyspaces back. A handle must not be closed while a view may
  // use it, so a drop only empties the keyspace's LMDB database, and that stays, empty, until the
  // next open; a process that drops more than 64 differently named ones meets `handles_full` and
  // needs this. Precondition: no view of this base is open anywhere. Errors: disk_full, io_error,
  // out_of_memory (the map is full).
  Result<void> free_handles();
  std::size_t map_bytes() const noexcept;
  std::uint64_t file_bytes() const noexcept;

  // Fills keyspace `id`, which no state has yet, with strictly ascending entries, in as many LMDB
  // transactions as that takes; at() stays. Views opened after it returned can read it by its id;
  // it is not in keyspaces() until a create_keyspace of the same id and name has been applied.
  // Until then, or until it is discarded, keyspaces of its name and other ids that come and go
  // leave it alone: they are not made, for one LMDB database has the name. `grow` is called when
  // the map is full: it quiesces all views and calls grow_map(). After an error, or a crash before
  // it returned, what was loaded is removed (by then, or at the next open). Errors:
  // invalid_argument (order, name, id), key_empty, key_too_long, value_too_large, disk_full,
  // io_error, the source's, grow's.
  using LoadSource =
      std::function<Result<std::optional<std::pair<std::string_view, std::string_view>>>()>;
  Result<std::uint64_t> load(KeyspaceId id, std::string_view name, const LoadSource& source,
                             const std::function<Result<void>()>& grow);
  // Loads that were finished and have no create_keyspace yet. After recovery: those whose create is
  // not in the log either will never get one, and are to be discarded. (They can't be removed at
  // open: the create may be in the log, acknowledged, and not yet in the base.)
  std::vector<KeyspaceInfo> unclaimed_loads() const;
  Result<void> discard_load(KeyspaceId id);

  // Copies the newest state to `directory` (existing, empty) as data.mdb, synced; returns what the
  // copy is at.
  Result<Timestamp> copy_to(const std::filesystem::path& directory);
  // Reads every page and entry. Errors: corruption (keyspace, key), io_error.
  Result<BaseSummary> verify();

  // The error for a failed lookup.
  Error read_error(int failure) const;

  struct State;  // private to the base's source files

 private:
  friend class BaseView;
  friend class BaseCursor;
  explicit Base(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace isolde::engine
