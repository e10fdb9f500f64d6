// A scan over three layers: the base, the chains, and private writes on top.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/base.h"
#include "isolde/range.h"
#include "isolde/result.h"
#include "isolde/types.h"
#include "mvcc/version_store.h"

namespace isolde::mvcc {

// The smallest key after `key`.
inline std::string successor(std::string_view key) {
  std::string next(key);
  next.push_back('\0');
  return next;
}

// The part of a range that a scan has observed when it stopped at `key` (trap 2).
inline KeyRange observed_until(const KeyRange& range, bool reverse, std::string_view key) {
  if (reverse) return {std::string(key), range.upper};
  return {range.lower, successor(key)};
}

// The private writes of one key in the range of a scan, one over the other.
struct OverlayEntry {
  static constexpr std::uint64_t own = ~std::uint64_t{0};  // as sequence: always on top

  struct Add {
    std::int64_t delta = 0;
    TransactionId writer;
    std::uint64_t sequence = 0;
  };

  std::string key;
  // The newest value, or erasure; without one what is committed lies below the adds.
  bool replaces = false;
  std::optional<std::string> value;  // nothing: erased
  TransactionId writer;
  std::uint64_t sequence = 0;
  std::vector<Add> adds;  // that came after it, in their order
};

// Walks a range in either direction at one snapshot.
//
// Not thread-safe. Between attach() and the end of the operation the slot must stay busy; in a
// later operation attach() again (cheap if neither the view nor the chains have lost anything).
//
// Why attach() merges the pending chains: a chain that the snapshot needs was installed before the
// snapshot was taken, one that the view needs before the view was opened; both come before
// attach(). Chains installed later hold nothing that the snapshot sees differently from the view.
class MergedScan {
 public:
  // What an own add is added to.
  struct Below {
    std::optional<std::string_view> value;
    TransactionId writer;
    std::optional<std::uint64_t> commit;  // nothing: another's private value
    std::uint64_t sequence = 0;
  };
  struct Item {
    std::string_view key;
    std::string_view value;
    TransactionId writer;
    std::uint64_t commit = 0;      // 0: a base value
    bool is_private = false;       // uncommitted: `commit` means nothing
    std::uint64_t sequence = 0;    // of the private write
    const Below* below = nullptr;  // of an own sum
  };
  enum class Step : std::uint8_t { entry, end, failed, hidden };

  MergedScan(VersionStore& store, KeyspaceId keyspace, KeyRange range, bool reverse,
             std::uint64_t snapshot, std::vector<OverlayEntry> overlay,
             engine::BaseCursor cursor = {});

  // The snapshot sees nothing of the base's keyspace: call it before attach().
  void leave_out_base() noexcept { without_base_ = true; }
  // next() then also answers `hidden`, for a key that is not there because another's uncommitted
  // write has erased it: item() tells whose.
  void tell_hidden() noexcept { tells_hidden_ = true; }
  // Binds to the view. `view_serial` changes with each renewal of the view.
  Result<void> attach(const engine::Base& base, engine::BaseView& view, std::uint64_t view_serial);
  // Moves to the next entry. Its views are valid until the next call and while the slot is busy.
  // The common case, an entry of the base with nothing above it, is inline: a scan is made of
  // little else.
  Step next() {
    if (base_alone_ && cursor_.advance()) {
      item_.key = cursor_.at().key;
      item_.value = cursor_.at().value;
      if (!base_until_ || item_.key < *base_until_) return Step::entry;
    }
    return next_merged();
  }
  // Precondition: the last next() answered entry or hidden.
  const Item& item() const noexcept { return item_; }
  Error error() const { return base_->read_error(base_at_.failure); }
  // Before the slot is left, if the scan goes on in a later operation: remembers where it was.
  void detach();
  // The newest committed version that was looked at, tombstones included (I6).
  std::uint64_t observed() const noexcept { return observed_; }
  const KeyRange& range() const noexcept { return range_; }
  // The cursor, to be reused by another scan. The end of this one.
  engine::BaseCursor take_cursor() noexcept { return std::move(cursor_); }

 private:
  using Position = engine::BaseCursor::Position;
  using Status = engine::BaseLookup::Status;
  // Which fronts the last item consumed: they are moved on by the next call, not before it.
  static constexpr unsigned from_base = 1;
  static constexpr unsigned from_chain = 2;
  static constexpr unsigned from_overlay = 4;

  void seek();
  void seek_chain();
  Step next_merged();
  void step_consumed();
  void step_base();
  void step_chain();
  void fetch_chains();
  void fetch_ahead();
  void bound_base();
  void bound_chain();
  void leave_to_base();
  // Which fronts stand on the first key of all, in the order of the scan.
  unsigned first_fronts() const;
  std::string_view key_of(unsigned fronts) const;
  // Sets item_ to what the snapshot sees of the first key; false: nothing.
  bool resolve(unsigned fronts);
  bool is_hidden(unsigned fronts) const;
  bool resolve_committed(unsigned fronts);
  bool resolve_adds(const OverlayEntry& top, bool found);

  VersionStore& store_;
  KeyspaceId keyspace_;
  KeyRange range_;
  bool reverse_;
  std::uint64_t snapshot_;
  std::vector<OverlayEntry> overlay_;  // in the order of the scan
  std::size_t overlay_at_ = 0;

  const engine::Base* base_ = nullptr;
  engine::BaseCursor cursor_;
  std::uint64_t view_serial_ = 0;
  std::uint64_t unlink_epoch_ = 0;
  bool attached_ = false;
  Position base_at_;
  bool base_live_ = false;
  bool without_base_ = false;
  bool tells_hidden_ = false;
  Chain* chain_ = nullptr;
  const Chain* fetched_ = nullptr;  // the last chain whose newest version has been asked for,
  unsigned fetched_ahead_ = 0;      // so many chains after chain_
  unsigned consumed_ = 0;
  // Forward, and the base alone answers below `base_until_`: the first key of the other layers or
  // the bound. base_at_ is not kept up meanwhile.
  bool base_alone_ = false;
  std::optional<std::string_view> base_until_;
  Item item_;
  std::optional<std::string> last_key_;  // of the last item in an earlier operation: where to seek
  std::string sum_;
  std::string own_sum_;
  Below below_;
  std::uint64_t observed_ = 0;
};

}  // namespace isolde::mvcc
