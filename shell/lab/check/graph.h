// The dependencies between the transactions of a history (Adya's direct serialization graph).
#pragma once

#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include "lab/check/verdict.h"
#include "lab/history/history.h"

namespace isolde::lab {

// One dependency. Transactions are named by their index in the history.
struct Dependency {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  std::uint32_t key = no_index;        // ww, wr, rw
  std::uint32_t operation = no_index;  // wr, rw: the reader's, a read or a scan
  EdgeKind kind = EdgeKind::ww;
};

// A read of a version that never became part of the committed state.
struct AbnormalRead {
  std::uint32_t reader = 0;
  std::uint32_t operation = 0;
  std::uint32_t key = 0;
  std::uint32_t writer = 0;
  bool aborted = false;  // else intermediate
};

// The rank of the version after the last one.
inline constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();

// One observed version and its place among the key's versions, for the judgement of snapshots.
struct Observation {
  std::uint32_t operation = 0;
  std::uint32_t key = 0;
  std::uint64_t from_rank = 0;  // of the version; 0: base
  std::uint64_t to_rank = 0;    // of the next one; never if there is none
  std::uint32_t writer = no_index;
  std::uint32_t next_writer = no_index;
};

// Versions are in the order of the commits of their writers, or in the order that the history gives
// for the key; there it may be a partial order.
class DependencyGraph {
 public:
  explicit DependencyGraph(const History& history);

  const History& history() const noexcept { return history_; }
  const std::vector<Dependency>& dependencies() const noexcept { return dependencies_; }
  const std::vector<AbnormalRead>& abnormal_reads() const noexcept { return abnormal_reads_; }

  bool is_committed(std::uint32_t transaction) const { return committed_[transaction] != 0; }
  bool is_read_only(std::uint32_t transaction) const {
    return installs_from_[transaction] == installs_from_[transaction + 1];
  }
  // Its place in the order of the commits; greater than 0.
  std::uint64_t rank(std::uint32_t transaction) const {
    const HistoryTransaction& of = history_.transactions[transaction];
    return timestamps_ ? of.timestamp : of.ended_at;
  }
  // Whether all versions are in the order of the commits, so that snapshots can be judged by it.
  bool ordered_by_commit() const noexcept {
    return history_.orders.empty() && !history_.orders_only;
  }
  // What a committed transaction observed, in the order of its operations; own versions left out.
  std::vector<Observation> observations(std::uint32_t transaction) const;
  // For each key that it wrote: the version that its own one replaced, as an observation at commit.
  std::vector<Observation> replaced(std::uint32_t transaction) const;
  // The transactions that wrote the committed versions of a key, in order.
  std::vector<std::uint32_t> writers_of(std::uint32_t key) const;
  // Whether an operation read what was newest at the commit of its transaction.
  bool takes_effect_at_commit(std::uint32_t transaction, std::uint32_t operation) const;
  // The operation that a read belongs to: of an entry that a scan yielded, the scan.
  std::uint32_t whole_operation(std::uint32_t transaction, std::uint32_t operation) const;

 private:
  struct Version {
    std::uint32_t writer;
    std::uint32_t write;  // its number among the writer's writes of the key
    bool erased;
  };
  struct Install {
    std::uint32_t key;
    std::uint32_t writer;
    std::uint32_t write;
    bool erased;
  };
  struct PartialOrder {
    std::vector<std::vector<std::uint32_t>> next;  // by version
    std::vector<std::uint32_t> first;              // versions that nothing comes before
  };
  struct UncommittedErase {
    std::uint64_t at;
    std::uint32_t writer;
    std::uint32_t write;
  };
  // A version as it was observed.
  struct Seen {
    std::uint32_t position = no_index;  // among the key's versions; no_index: base
    HistoryVersion version;             // if it is not among them
    bool listed = true;
  };
  static constexpr std::uint32_t own = no_index - 1;

  void find_committed();
  void find_installs();
  void order_versions();
  void apply_orders();
  void apply_orders(std::uint32_t key, const std::vector<const HistoryOrder*>& orders);
  void sort_keys();
  void add_write_edges();
  void add_read_edges(std::uint32_t transaction);
  void add_seen(std::uint32_t transaction, std::uint32_t operation, std::uint32_t key,
                const Seen& seen);

  // Calls visit(operation, key, seen) for each version that the transaction observed.
  template <typename Visit>
  void for_each_seen(std::uint32_t transaction, Visit&& visit) const;
  template <typename Visit>
  void for_each_unyielded(std::uint32_t transaction, std::uint32_t operation, Visit&& visit) const;
  template <typename Visit>
  void for_each_next(std::uint32_t key, std::uint32_t position, Visit&& visit) const;

  Seen seen_by_read(std::uint32_t transaction, std::uint32_t operation) const;
  Seen seen_absent(std::uint32_t transaction, std::uint32_t operation, std::uint32_t key) const;
  bool has_own_write(std::uint32_t transaction, std::uint32_t operation, std::uint32_t key) const;
  std::uint32_t position_of(std::uint32_t key, std::uint32_t writer) const;
  const Version& version(std::uint32_t key, std::uint32_t position) const {
    return versions_[versions_from_[key] + position];
  }
  std::uint32_t version_count(std::uint32_t key) const {
    return versions_from_[key + 1] - versions_from_[key];
  }
  const UncommittedErase* uncommitted_erase(std::uint32_t transaction, std::uint64_t at,
                                            std::uint32_t key) const;

  const History& history_;
  bool timestamps_ = false;
  std::vector<std::uint8_t> committed_;
  std::vector<Install> installs_;                            // by transaction, then by key
  std::vector<std::uint32_t> installs_from_;                 // by transaction
  std::vector<Version> versions_;                            // by key, then in order
  std::vector<std::uint32_t> versions_from_;                 // by key
  std::unordered_map<std::uint64_t, std::uint32_t> listed_;  // positions, for keys with an order
  std::unordered_map<std::uint32_t, PartialOrder> partial_;
  std::vector<std::uint8_t> base_present_;
  std::vector<std::uint32_t> sorted_keys_;  // those with versions
  std::unordered_map<std::uint32_t, std::vector<UncommittedErase>> erases_;
  std::vector<Dependency> dependencies_;
  std::vector<AbnormalRead> abnormal_reads_;
};

}  // namespace isolde::lab
