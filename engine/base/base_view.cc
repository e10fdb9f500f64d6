// Read views and cursors: the path of every read.
#include <utility>

#include "engine/base/base_state.h"

namespace isolde::engine {
namespace {

// Keeps the loads before it before those after it. (No atomic_thread_fence: TSan can't see it.)
inline void order_loads() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  asm volatile("" ::: "memory");
#else
  __sync_synchronize();
#endif
}

BaseLookup::Status status_of(int code) noexcept {
  if (code == MDB_SUCCESS) return BaseLookup::Status::found;
  return code == MDB_NOTFOUND ? BaseLookup::Status::absent : BaseLookup::Status::failed;
}

}  // namespace

BaseView::BaseView(BaseView&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      txn_(std::exchange(other.txn_, nullptr)),
      version_(other.version_),
      open_(std::exchange(other.open_, false)) {}

BaseView& BaseView::operator=(BaseView&& other) noexcept {
  if (this != &other) {
    close();
    base_ = std::exchange(other.base_, nullptr);
    txn_ = std::exchange(other.txn_, nullptr);
    version_ = other.version_;
    open_ = std::exchange(other.open_, false);
  }
  return *this;
}

BaseView::~BaseView() { close(); }

// Why the version is read again after LMDB has opened the transaction: LMDB takes the number n,
// then copies the roots from meta page n % 2 without a lock, so
//   view        takes n, is preempted
//   checkpoints n + 1, then n + 2, which overwrites that meta page
//   view        copies roots of n + 2, or half of them, and calls them n.
// n + 2 can only begin after `version` was set to n + 1; so with `version` still at n or less, the
// copy was whole.
Result<void> BaseView::renew(Base& base) {
  Base::State& state = *base.state_;
  if (base_ != &base) close();
  reset();
  if (state.unmapped.load(std::memory_order_relaxed)) {
    return lmdb_error(ENOMEM, "map", state.file);
  }
  for (;;) {
    const int code = txn_ != nullptr
                         ? mdb_txn_renew(txn_)
                         : mdb_txn_begin(state.environment.get(), nullptr, MDB_RDONLY, &txn_);
    if (code != MDB_SUCCESS) return lmdb_error(code, "open a read view of", state.file);
    base_ = &base;
    const std::uint64_t number = mdb_txn_id(txn_);
    order_loads();
    const std::uint64_t published = state.version.load(std::memory_order_acquire);
    if (number == published ||
        (number > published && number <= state.newest_possible.load(std::memory_order_acquire))) {
      version_ = BaseVersion{number};
      open_ = true;
      return {};
    }
    mdb_txn_reset(txn_);
    if (number > published) return foreign_writer(state);
  }
}

void BaseView::reset() noexcept {
  if (!open_) return;
  open_ = false;
  mdb_txn_reset(txn_);
}

void BaseView::close() noexcept {
  open_ = false;
  base_ = nullptr;
  if (txn_ != nullptr) mdb_txn_abort(std::exchange(txn_, nullptr));
}

BaseLookup BaseView::get(KeyspaceId keyspace, std::string_view key) const noexcept {
  const HandleEntry* entry = base_->state_->handles.find(keyspace);
  if (entry == nullptr || !entry->exists_at(version_.value)) return {};
  MDB_val k = to_lmdb(key);
  MDB_val v;
  const int code = mdb_get(txn_, entry->handle.load(std::memory_order_relaxed), &k, &v);
  if (code == MDB_SUCCESS) return {BaseLookup::Status::found, 0, from_lmdb(v)};
  if (code == MDB_NOTFOUND || key.empty()) return {};
  return {BaseLookup::Status::failed, code, {}};
}

BaseCursor::BaseCursor(BaseCursor&& other) noexcept
    : cursor_(std::exchange(other.cursor_, nullptr)),
      dbi_(other.dbi_),
      empty_(std::exchange(other.empty_, true)) {}

BaseCursor& BaseCursor::operator=(BaseCursor&& other) noexcept {
  if (this != &other) {
    close();
    cursor_ = std::exchange(other.cursor_, nullptr);
    dbi_ = other.dbi_;
    empty_ = std::exchange(other.empty_, true);
  }
  return *this;
}

BaseCursor::~BaseCursor() { close(); }

Result<void> BaseCursor::bind(BaseView& view, KeyspaceId keyspace) {
  const Base::State& state = *view.base_->state_;
  const HandleEntry* entry = state.handles.find(keyspace);
  empty_ = entry == nullptr || !entry->exists_at(view.version_.value);
  if (empty_) return {};
  const unsigned handle = entry->handle.load(std::memory_order_relaxed);
  int code = MDB_SUCCESS;
  if (cursor_ != nullptr && dbi_ == handle) {
    code = mdb_cursor_renew(view.txn_, cursor_);
  } else {
    close();
    code = mdb_cursor_open(view.txn_, handle, &cursor_);
    dbi_ = handle;
  }
  empty_ = code != MDB_SUCCESS;
  if (empty_) return lmdb_error(code, "open a cursor on", state.file);
  return {};
}

void BaseCursor::close() noexcept {
  empty_ = true;
  if (cursor_ != nullptr) mdb_cursor_close(std::exchange(cursor_, nullptr));
}

namespace {

BaseCursor::Position move(MDB_cursor* cursor, std::string_view key,
                          MDB_cursor_op operation) noexcept {
  MDB_val k = to_lmdb(key);
  MDB_val v;
  const int code = mdb_cursor_get(cursor, &k, &v, operation);
  if (code == MDB_SUCCESS) {
    return {BaseLookup::Status::found, 0, from_lmdb(k), from_lmdb(v)};
  }
  return {status_of(code), code == MDB_NOTFOUND ? 0 : code, {}, {}};
}

}  // namespace

BaseCursor::Position BaseCursor::seek(std::string_view key) noexcept {
  if (empty_) return {};
  return key.empty() ? move(cursor_, {}, MDB_FIRST) : move(cursor_, key, MDB_SET_RANGE);
}

BaseCursor::Position BaseCursor::seek_before(std::string_view key) noexcept {
  if (empty_ || key.empty()) return {};
  const Position at_or_after = move(cursor_, key, MDB_SET_RANGE);
  if (at_or_after.status == BaseLookup::Status::failed) return at_or_after;
  return move(cursor_, {}, at_or_after.status == BaseLookup::Status::found ? MDB_PREV : MDB_LAST);
}

BaseCursor::Position BaseCursor::seek_last() noexcept {
  return empty_ ? Position{} : move(cursor_, {}, MDB_LAST);
}

BaseCursor::Position BaseCursor::next() noexcept {
  return empty_ ? Position{} : move(cursor_, {}, MDB_NEXT);
}

bool BaseCursor::advance() noexcept {
  MDB_val key;
  MDB_val value;
  const int code = empty_ ? MDB_NOTFOUND : mdb_cursor_get(cursor_, &key, &value, MDB_NEXT);
  if (code != MDB_SUCCESS) {
    at_ = {status_of(code), code == MDB_NOTFOUND ? 0 : code, {}, {}};
    return false;
  }
  at_.status = BaseLookup::Status::found;
  at_.key = from_lmdb(key);
  at_.value = from_lmdb(value);
  return true;
}

BaseCursor::Position BaseCursor::previous() noexcept {
  return empty_ ? Position{} : move(cursor_, {}, MDB_PREV);
}

}  // namespace isolde::engine
