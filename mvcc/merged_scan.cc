#include "mvcc/merged_scan.h"

#include <algorithm>
#include <utility>

#include "engine/yield_point.h"
#include "mvcc/commit_pipeline.h"

namespace isolde::mvcc {
namespace {

void fetch(const void* memory, std::size_t lines) {
  if (memory == nullptr) return;
  for (std::size_t line = 0; line < lines; ++line) {
    __builtin_prefetch(static_cast<const char*>(memory) + line * 64);
  }
}

// Precondition: the chain's node has arrived, or is worth waiting for.
void fetch_beyond(const Chain& chain) {
  fetch(chain.newest.load(), 3);  // its header and, mostly, its value
  fetch(chain.link(0).load(), 2);
}

}  // namespace

MergedScan::MergedScan(VersionStore& store, KeyspaceId keyspace, KeyRange range, bool reverse,
                       std::uint64_t snapshot, std::vector<OverlayEntry> overlay,
                       engine::BaseCursor cursor)
    : store_(store),
      keyspace_(keyspace),
      range_(std::move(range)),
      reverse_(reverse),
      snapshot_(snapshot),
      overlay_(std::move(overlay)),
      cursor_(std::move(cursor)) {
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

// Positions base and chains after last_key_, or at the edge of the range. The chains first: what
// is fetched for them arrives while the base is searched.
void MergedScan::seek() {
  seek_chain();
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
  // The overlay is not sought anew: pass the entry that was yielded last.
  if ((consumed_ & from_overlay) != 0) ++overlay_at_;
  consumed_ = 0;
  base_alone_ = false;
}

void MergedScan::seek_chain() {
  const OrderedIndex& order = store_.order();
  if (store_.chains() == 0) {
    chain_ = nullptr;
    fetch_chains();  // what was asked for may have been unlinked since, and freed
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
  fetch_chains();
}

void MergedScan::step_base() {
  base_at_ = reverse_ ? cursor_.previous() : cursor_.next();
  bound_base();
}

void MergedScan::bound_base() {
  base_live_ =
      base_at_.status == Status::found && !without_base_ &&
      (reverse_ ? base_at_.key >= range_.lower : !range_.upper || base_at_.key < *range_.upper);
}

void MergedScan::bound_chain() {
  if (chain_ == nullptr) return;
  const bool inside =
      chain_->keyspace == keyspace_ &&
      (reverse_ ? chain_->key() >= range_.lower : !range_.upper || chain_->key() < *range_.upper);
  if (!inside) chain_ = nullptr;
}

void MergedScan::step_chain() {
  chain_ =
      reverse_ ? store_.order().last_before({keyspace_, chain_->key()}) : chain_->link(0).load();
  bound_chain();
  if (fetched_ahead_ == 0) {
    fetch_chains();
  } else {
    --fetched_ahead_;
    fetch_ahead();
  }
}

// The nodes of a chain lie anywhere in memory, and waiting for each of them would be most of the
// scan. They are asked for while what comes before them is passed: of each chain first the node,
// and when that has arrived its newest version and the node that follows.
void MergedScan::fetch_chains() {
  fetched_ = reverse_ ? nullptr : chain_;
  fetched_ahead_ = 0;
  if (chain_ != nullptr) fetch_beyond(*chain_);
}

void MergedScan::fetch_ahead() {
  constexpr unsigned far_enough = 4;
  if (fetched_ == nullptr || fetched_ahead_ == far_enough) return;
  const Chain* next = fetched_->link(0).load();
  if (next == nullptr) return;
  fetched_ = next;
  ++fetched_ahead_;
  fetch_beyond(*next);
}

void MergedScan::step_consumed() {
  if ((consumed_ & from_base) != 0) step_base();
  if ((consumed_ & from_chain) != 0) step_chain();
  if ((consumed_ & from_overlay) != 0) ++overlay_at_;
}

MergedScan::Step MergedScan::next_merged() {
  if (base_alone_) {  // it has just come to its end, or to where it is not alone
    base_alone_ = false;
    consumed_ = 0;
    fetch_ahead();
    base_at_ = cursor_.at();
    bound_base();
  }
  for (;;) {
    step_consumed();
    consumed_ = 0;
    if (base_at_.status == Status::failed) return Step::failed;
    const unsigned fronts = first_fronts();
    if (fronts == 0) return Step::end;
    consumed_ = fronts;
    if (fronts == from_base && !reverse_) leave_to_base();
    if (resolve(fronts)) return Step::entry;
    if (tells_hidden_ && is_hidden(fronts)) {
      const OverlayEntry& top = overlay_[overlay_at_];
      item_ = {key_of(fronts), {}, top.writer, 0, true, top.sequence};
      return Step::hidden;
    }
    item_.key = key_of(fronts);
  }
}

bool MergedScan::is_hidden(unsigned fronts) const {
  if ((fronts & from_overlay) == 0) return false;
  const OverlayEntry& top = overlay_[overlay_at_];
  return top.replaces && !top.value && top.sequence != OverlayEntry::own;
}

void MergedScan::leave_to_base() {
  base_alone_ = true;
  base_until_ = range_.upper;
  const auto limit = [&](std::string_view key) {
    if (!base_until_ || key < *base_until_) base_until_ = key;
  };
  if (chain_ != nullptr) limit(chain_->key());
  if (overlay_at_ < overlay_.size()) limit(overlay_[overlay_at_].key);
}

unsigned MergedScan::first_fronts() const {
  unsigned fronts = 0;
  std::string_view first;
  const auto consider = [&](unsigned front, std::string_view key) {
    const int order = fronts == 0 ? -1 : reverse_ ? first.compare(key) : key.compare(first);
    if (order > 0) return;
    fronts = order == 0 ? fronts | front : front;
    first = key;
  };
  if (base_live_) consider(from_base, base_at_.key);
  if (chain_ != nullptr) consider(from_chain, chain_->key());
  if (overlay_at_ < overlay_.size()) consider(from_overlay, overlay_[overlay_at_].key);
  return fronts;
}

std::string_view MergedScan::key_of(unsigned fronts) const {
  if ((fronts & from_base) != 0) return base_at_.key;
  if ((fronts & from_chain) != 0) return chain_->key();
  return overlay_[overlay_at_].key;
}

void MergedScan::detach() {
  if (consumed_ != 0) last_key_.emplace(item_.key);
}

// I1: a chain answers alone. Its version stays readable: the slot is busy.
bool MergedScan::resolve_committed(unsigned fronts) {
  item_ = {key_of(fronts), {}, {}, 0, false, 0};
  if ((fronts & from_chain) != 0) {
    const Version* version = chain_->at(Timestamp{snapshot_});
    if (version == nullptr) return false;
    observed_ = std::max(observed_, version->commit);
    item_.writer = version->writer;
    item_.commit = version->commit;
    const auto value = version->seen();
    if (!value) return false;
    item_.value = *value;
    return true;
  }
  if ((fronts & from_base) == 0) return false;
  item_.value = base_at_.value;
  return true;
}

bool MergedScan::resolve(unsigned fronts) {
  if ((fronts & from_overlay) == 0) return resolve_committed(fronts);
  const OverlayEntry& top = overlay_[overlay_at_];
  if (!top.replaces) return resolve_adds(top, resolve_committed(fronts));
  item_ = {key_of(fronts), {}, top.writer, 0, true, top.sequence};
  if (top.value) item_.value = *top.value;
  return top.adds.empty() ? top.value.has_value() : resolve_adds(top, top.value.has_value());
}

// As TransactionCore::read() does for one key: an add to what is no integer changes nothing.
bool MergedScan::resolve_adds(const OverlayEntry& top, bool found) {
  for (const OverlayEntry::Add& add : top.adds) {
    const auto value = found ? std::optional(item_.value) : std::nullopt;
    const auto sum = add_to(value, add.delta);
    if (!sum) continue;
    if (add.sequence == OverlayEntry::own) {
      below_ = {value, item_.writer, std::nullopt, item_.sequence};
      if (!item_.is_private) below_.commit = item_.commit;
      own_sum_ = std::to_string(*sum);
      item_.value = own_sum_;
      item_.below = &below_;
    } else {
      sum_ = std::to_string(*sum);
      item_.value = sum_;
    }
    item_.writer = add.writer;
    item_.is_private = true;
    item_.sequence = add.sequence;
    found = true;
  }
  return found;
}

}  // namespace isolde::mvcc
