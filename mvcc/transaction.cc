// The public Transaction and Cursor: their cores, with a full memory turned into an error.
#include "isolde/transaction.h"

#include <new>
#include <utility>

#include "mvcc/cursor_core.h"
#include "mvcc/transaction_core.h"
#include "mvcc/transaction_errors.h"

namespace isolde {
namespace {

// Nothing is changed before all memory that an operation needs is there.
// `core`: null in a handle that was moved from.
template <typename Core, typename Work>
auto guarded(const Core& core, Work&& work) -> decltype(work()) {
  if (core == nullptr) return mvcc::transaction_finished();
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return mvcc::out_of_memory("running an operation of a transaction");
  }
}

}  // namespace

Transaction::Transaction(Transaction&& other) noexcept
    : core_(std::exchange(other.core_, nullptr)) {}

Transaction& Transaction::operator=(Transaction&& other) noexcept {
  if (this != &other) {
    if (core_ != nullptr) core_->finish();
    core_ = std::exchange(other.core_, nullptr);
  }
  return *this;
}

Transaction::~Transaction() {
  if (core_ != nullptr) core_->finish();
}

Result<std::optional<std::string_view>> Transaction::get(const Keyspace& keyspace,
                                                         std::string_view key,
                                                         ReadOptions options) {
  return guarded(core_, [&] {
    return core_->get(keyspace, key, ReadMode::plain, LockWait::wait, options.tracked);
  });
}

Result<std::optional<std::string_view>> Transaction::get_for_update(const Keyspace& keyspace,
                                                                    std::string_view key,
                                                                    LockOptions lock) {
  return guarded(core_,
                 [&] { return core_->get(keyspace, key, ReadMode::for_update, lock, true); });
}

Result<std::optional<std::string_view>> Transaction::get_for_share(const Keyspace& keyspace,
                                                                   std::string_view key,
                                                                   LockOptions lock) {
  return guarded(core_, [&] { return core_->get(keyspace, key, ReadMode::for_share, lock, true); });
}

Result<void> Transaction::put(const Keyspace& keyspace, std::string_view key,
                              std::string_view value) {
  return guarded(core_, [&] { return core_->put(keyspace, key, value); });
}

Result<void> Transaction::erase(const Keyspace& keyspace, std::string_view key) {
  return guarded(core_, [&] { return core_->erase(keyspace, key); });
}

Result<void> Transaction::insert(const Keyspace& keyspace, std::string_view key,
                                 std::string_view value) {
  return guarded(core_, [&] { return core_->insert(keyspace, key, value); });
}

Result<void> Transaction::add(const Keyspace& keyspace, std::string_view key, std::int64_t delta) {
  return guarded(core_, [&] { return core_->add(keyspace, key, delta); });
}

Result<std::int64_t> Transaction::add_and_get(const Keyspace& keyspace, std::string_view key,
                                              std::int64_t delta) {
  return guarded(core_, [&] { return core_->add_and_get(keyspace, key, delta); });
}

Result<void> Transaction::compare_and_set(const Keyspace& keyspace, std::string_view key,
                                          std::string_view expected, std::string_view value) {
  return guarded(core_, [&] { return core_->compare_and_set(keyspace, key, expected, value); });
}

Result<std::size_t> Transaction::scan_with(const Keyspace& keyspace, const KeyRange& range,
                                           const ScanOptions& options, void* context,
                                           VisitFunction visit) {
  return guarded(core_, [&] { return core_->scan(keyspace, range, options, context, visit); });
}

Result<Cursor> Transaction::cursor(const Keyspace& keyspace, KeyRange range, ScanOptions options) {
  return guarded(core_, [&]() -> Result<Cursor> {
    auto core = core_->cursor(keyspace, range, options);
    if (!core) return core.error();
    return Cursor(std::move(*core));
  });
}

Result<Savepoint> Transaction::savepoint() {
  return guarded(core_, [&] { return core_->savepoint(); });
}
Result<void> Transaction::rollback_to(Savepoint savepoint) {
  return guarded(core_, [&] { return core_->rollback_to(savepoint); });
}
Result<void> Transaction::release(Savepoint savepoint) {
  return guarded(core_, [&] { return core_->release(savepoint); });
}
Result<Timestamp> Transaction::commit() {
  return guarded(core_, [&] { return core_->commit(); });
}
Result<void> Transaction::rollback() {
  if (core_ == nullptr) return {};  // as after any end
  return guarded(core_, [&] { return core_->rollback(); });
}

void Transaction::cancel() noexcept {
  if (core_ != nullptr) static_cast<void>(core_->cancel(core_->id()));
}
Result<void> Transaction::set_lock_timeout(std::chrono::milliseconds timeout) {
  return guarded(core_, [&] { return core_->set_lock_timeout(timeout); });
}

bool Transaction::active() const noexcept { return core_ != nullptr && core_->active(); }
TransactionId Transaction::id() const { return core_ != nullptr ? core_->id() : TransactionId{}; }
Isolation Transaction::isolation() const noexcept {
  return core_ != nullptr ? core_->isolation() : TransactionOptions{}.isolation;
}
Locking Transaction::locking() const noexcept {
  return core_ != nullptr ? core_->locking() : TransactionOptions{}.locking;
}
std::string_view Transaction::label() const noexcept {
  return core_ != nullptr ? std::string_view(core_->label()) : std::string_view();
}
bool Transaction::read_only() const noexcept { return core_ != nullptr && core_->read_only(); }
std::optional<Timestamp> Transaction::snapshot() const noexcept {
  return core_ != nullptr ? core_->snapshot() : std::nullopt;
}
bool Transaction::has_committed() const noexcept { return core_->has_committed(); }
std::optional<Error> Transaction::ended_by() const { return core_->ended_by(); }

Cursor::Cursor(std::unique_ptr<mvcc::CursorCore> core) noexcept : core_(std::move(core)) {}
Cursor::Cursor(Cursor&&) noexcept = default;
Cursor& Cursor::operator=(Cursor&&) noexcept = default;
Cursor::~Cursor() = default;

Result<std::optional<Entry>> Cursor::next() {
  return guarded(core_, [&] { return core_->next(); });
}

}  // namespace isolde
