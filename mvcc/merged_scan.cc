#include "mvcc/merged_scan.h"

#include <algorithm>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/commit_pipeline.h"

namespace isolde::mvcc {

using Status = engine::BaseLookup::Status;

MergedScan::MergedScan(VersionStore& store, KeyspaceId keyspace, KeyRange range, bool reverse,
                       std::uint64_t snapshot, std::vector<OverlayEntry> overlay)
    : store_(store),
      keyspace_(keyspace),
      range_(std::move(range)),
      reverse_(reverse),
      snapshot_(snapshot),
      overlay_(std::move(overlay)) {
  if (reverse_) std::reverse(overlay_.begin(), overlay_.end());
}

Result<void> MergedScan::attach(const engine::Base& base, engine::BaseView& view,
                                std::uint64_t view_serial) {
  const bool same_view = attached_ && view_serial == view_serial_;
  if (same_view && unlink_epoch_ == store_.unlink_epoch()) return {};
  base_ = &base;
  if (!same_view) {
    if (auto bound = cursor_.bind(view, keyspace_); !bound) return bound;
    view_serial_ = view_serial;
  }
  attached_ = true;
  // Before the walk: a chain unlinked after this read is still safe to stand on in this operation,
  // and makes the next one seek anew.
  unlink_epoch_ = store_.unlink_epoch();
  store_.merge_pending();
  ISOLDE_YIELD("scan: merged");
  seek();
  return {};
}

// Positions base and chains after last_key_, or at the edge of the range.
void MergedScan::seek() {
  if (!reverse_) {
    base_at_ = cursor_.seek(last_key_ ? std::string_view(*last_key_) : range_.lower);
    if (last_key_ && base_at_.status == Status::found && base_at_.key == *last_key_) {
      base_at_ = cursor_.next();
    }
  } else if (last_key_) {
    base_at_ = cursor_.seek_before(*last_key_);
  } else {
    base_at_ = range_.upper ? cursor_.seek_before(*range_.upper) : cursor_.seek_last();
  }
  bound_base();
  seek_chain();
}

void MergedScan::seek_chain() {
  const OrderedIndex& order = store_.order();
  if (store_.chains() == 0) {
    chain_ = nullptr;
    return;
  }
  if (!reverse_) {
    chain_ = order.first_at_or_after({keyspace_, last_key_ ? *last_key_ : range_.lower});
    if (last_key_ && chain_ != nullptr && chain_->keyspace == keyspace_ &&
        chain_->key() == *last_key_) {
      chain_ = chain_->link(0).load();
    }
  } else if (last_key_ || range_.upper) {
    chain_ = order.last_before({keyspace_, last_key_ ? *last_key_ : *range_.upper});
  } else {
    chain_ = order.last_before({KeyspaceId{keyspace_.value + 1}, {}});
  }
  bound_chain();
}

void MergedScan::bound_base() {
  base_live_ =
      base_at_.status == Status::found &&
      (reverse_ ? base_at_.key >= range_.lower : !range_.upper || base_at_.key < *range_.upper);
}

void MergedScan::bound_chain() {
  if (chain_ == nullptr) return;
  const bool inside =
      chain_->keyspace == keyspace_ &&
      (reverse_ ? chain_->key() >= range_.lower : !range_.upper || chain_->key() < *range_.upper);
  if (!inside) chain_ = nullptr;
}

void MergedScan::step_base() {
  base_at_ = reverse_ ? cursor_.previous() : cursor_.next();
  bound_base();
}

void MergedScan::step_chain() {
  chain_ =
      reverse_ ? store_.order().last_before({keyspace_, chain_->key()}) : chain_->link(0).load();
  bound_chain();
}

Result<std::optional<MergedScan::Item>> MergedScan::next() {
  for (;;) {
    if (base_at_.status == Status::failed) return base_->read_error(base_at_.failure);
    const OverlayEntry* top = overlay_front();
    if (chain_ == nullptr && top == nullptr) {  // the common case: nothing above the base
      if (!base_live_) return std::optional<Item>{};
      const Item item{base_at_.key, base_at_.value, {}, 0};
      last_ = item.key;
      moved_ = true;
      step_base();
      return std::optional(item);
    }
    const std::string_view key = first_front(top);
    const bool from_base = base_live_ && base_at_.key == key;
    const bool from_chain = chain_ != nullptr && chain_->key() == key;
    const bool from_top = top != nullptr && top->key == key;
    auto item = resolve(key, from_base, from_chain, from_top ? top : nullptr);
    last_ = key;
    moved_ = true;
    if (from_base) step_base();
    if (from_chain) step_chain();
    if (from_top) ++overlay_at_;
    if (item) return item;
  }
}

std::string_view MergedScan::first_front(const OverlayEntry* top) const {
  std::optional<std::string_view> first;
  const auto consider = [&](std::string_view candidate) {
    if (!first || comes_first(candidate, *first)) first = candidate;
  };
  if (base_live_) consider(base_at_.key);
  if (chain_ != nullptr) consider(chain_->key());
  if (top != nullptr) consider(top->key);
  return *first;
}

void MergedScan::detach() {
  if (moved_) last_key_.emplace(last_);
  moved_ = false;
}

// I1: a chain answers alone. Its version stays readable: the slot is busy.
std::optional<MergedScan::Item> MergedScan::resolve(std::string_view key, bool from_base,
                                                    bool from_chain, const OverlayEntry* top) {
  if (top != nullptr && !top->delta) {
    if (!top->value) return std::nullopt;
    return Item{key, *top->value, top->writer, std::nullopt};
  }
  std::optional<Item> below;
  if (from_chain) {
    const Version* version = chain_->at(Timestamp{snapshot_});
    if (version != nullptr) {
      observed_ = std::max(observed_, version->commit);
      if (const auto value = version->seen()) {
        below = Item{key, *value, version->writer, version->commit};
      }
    }
  } else if (from_base) {
    below = Item{key, base_at_.value, {}, 0};
  }
  if (top == nullptr) return below;
  const auto sum = add_to(below ? std::optional(below->value) : std::nullopt, *top->delta);
  if (!sum) return below;
  sum_ = std::to_string(*sum);
  return Item{key, sum_, top->writer, std::nullopt};
}

}  // namespace isolde::mvcc
