// A scan over three layers: the base, the chains, and private writes on top.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base.h"
#include "isolde/range.h"
#include "isolde/result.h"
#include "isolde/types.h"
#include "mvcc/version_store.h"

namespace isolde::mvcc {

// A private write in the range of a scan.
struct OverlayEntry {
  std::string key;
  std::optional<std::string> value;   // nothing: erased
  std::optional<std::int64_t> delta;  // instead: to be added to what lies below
  TransactionId writer;
  std::uint64_t sequence = 0;
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
  struct Item {
    std::string_view key;
    std::string_view value;
    TransactionId writer;
    std::optional<std::uint64_t> commit;  // nothing: a private write; 0: a base value
  };

  MergedScan(VersionStore& store, KeyspaceId keyspace, KeyRange range, bool reverse,
             std::uint64_t snapshot, std::vector<OverlayEntry> overlay);

  // Binds to the view. `view_serial` changes with each renewal of the view.
  Result<void> attach(const engine::Base& base, engine::BaseView& view, std::uint64_t view_serial);
  // The next entry; valid until the next call and while the slot is busy. (Entries of the base and
  // of chains stay valid as long as the slot is busy; sums only until the next call.)
  Result<std::optional<Item>> next();
  // Before the slot is left, if the scan goes on in a later operation: remembers where it was.
  void detach();
  // The newest committed version that was looked at, tombstones included (I6).
  std::uint64_t observed() const noexcept { return observed_; }
  const KeyRange& range() const noexcept { return range_; }

 private:
  using Position = engine::BaseCursor::Position;

  void seek();
  void seek_chain();
  void step_base();
  void step_chain();
  void step_overlay();
  void bound_base();
  void bound_chain();
  bool comes_first(std::string_view a, std::string_view b) const noexcept {
    return reverse_ ? a > b : a < b;
  }
  const OverlayEntry* overlay_front() const noexcept {
    return overlay_at_ < overlay_.size() ? &overlay_[overlay_at_] : nullptr;
  }
  std::string_view first_front(const OverlayEntry* top) const;
  std::optional<Item> resolve(std::string_view key, bool from_base, bool from_chain,
                              const OverlayEntry* top);

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
  Chain* chain_ = nullptr;
  std::string_view last_;  // in this operation: the last key that was passed
  bool moved_ = false;
  std::optional<std::string> last_key_;  // the same from earlier operations: where to seek anew
  std::string sum_;
  std::uint64_t observed_ = 0;
};

}  // namespace isolde::mvcc
