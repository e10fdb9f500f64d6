#include "lab/history/recorded_history.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "isolde/error.h"
#include "lab/history/write_counts.h"

namespace isolde::lab {
namespace {

using Kind = RecordedEvent::Kind;
using Operation = HistoryOperation;

class Assembly {
 public:
  explicit Assembly(const std::unordered_map<std::uint64_t, std::string>& sessions)
      : sessions_(sessions), writes_so_far_(builder_.history) {}

  void add(const RecordedEvent& event, const std::string& keyspace) {
    const std::uint32_t index = transaction_of(event);
    switch (event.kind) {
      case Kind::begin:
        break;
      case Kind::read:
        add_read(index, event, keyspace);
        break;
      case Kind::scan:
        add_scan(index, event, keyspace);
        break;
      case Kind::write:
        add_write(index, event, keyspace);
        break;
      case Kind::undo:
        add_undo(index, event);
        break;
      case Kind::commit:
      case Kind::abort:
        end(index, event);
        break;
    }
  }

  History finish() && {
    resolve_uncommitted();
    resolve_base_reads();
    return std::move(builder_.history);
  }

 private:
  // A write as it was recorded: what tells it from the transaction's others.
  struct Write {
    std::uint32_t transaction;
    std::uint32_t key;
    std::uint32_t number;  // among the transaction's writes of the key
    bool is_add;
    std::uint64_t sequence;
    std::uint64_t digest;
  };
  struct Read {
    std::uint32_t transaction;
    std::uint32_t operation;
    std::uint64_t sequence;  // uncommitted: of the write
    std::uint64_t snapshot;  // base: what it was read at
    std::uint64_t digest;
  };

  // The builder looks small ids up in a table, and those of a database that has run for long are
  // large: so they are counted from a little before the first. (Earlier ones wrap around.)
  std::uint64_t place_of(std::uint64_t id) {
    constexpr std::uint64_t ahead = 64;
    if (!first_) first_ = id - std::min(id, ahead);
    return id - *first_;
  }

  std::uint32_t added(std::uint64_t id) {
    const std::uint32_t index = builder_.add(place_of(id));
    builder_.transaction(index).id = id;
    return index;
  }

  std::uint32_t transaction_of(const RecordedEvent& event) {
    std::uint32_t index = builder_.find(place_of(event.transaction));
    if (index != no_index) return index;
    index = added(event.transaction);
    HistoryTransaction& added = builder_.transaction(index);
    added.level = event.level;
    added.locking = event.locking;
    if (const auto session = sessions_.find(event.transaction); session != sessions_.end()) {
      added.session = session->second;
    }
    // One that had begun before the recording is known from its first event here on: it then counts
    // as having begun before everything.
    if (event.kind == Kind::begin) {
      added.label = std::string(event.first());
      added.began_at = event.order;
      added.began_ns = static_cast<std::int64_t>(event.figures().at);
    }
    return index;
  }

  // The transaction whose version was read; it may be older than the recording.
  std::uint32_t writer_of(const RecordedEvent::Figures& version, bool committed) {
    std::uint32_t writer = builder_.find(place_of(version.writer));
    if (writer == no_index) {
      writer = added(version.writer);
      HistoryTransaction& added = builder_.transaction(writer);
      added.level = Isolation::read_uncommitted;  // what it read is not known either
      if (committed) added.end = HistoryEnd::committed;
    }
    if (committed && builder_.transaction(writer).timestamp == 0) {
      builder_.transaction(writer).timestamp = version.version;
    }
    return writer;
  }

  // A write that is known only because it was read: it is older than the recording.
  void add_unrecorded_write(std::uint32_t writer, std::uint32_t key, std::uint64_t version,
                            bool absent) {
    Operation write;
    write.kind = Operation::Kind::write;
    write.write_kind = absent ? WriteKind::erase : WriteKind::put;
    write.target = key;
    builder_.transaction(writer).operations.push_back(write);
    writes_.push_back({writer, key, 1, true, version, 0});
  }

  static void set_flags(Operation& operation, const RecordedEvent& event) {
    operation.mode = static_cast<ReadMode>(event.detail);
    operation.absent = event.has(RecordedEvent::absent);
    operation.cursor = event.has(RecordedEvent::cursor);
    operation.untracked = event.has(RecordedEvent::untracked);
    operation.before_write = event.has(RecordedEvent::before_write);
    operation.at = event.order;
  }

  void add_read(std::uint32_t index, const RecordedEvent& event, const std::string& keyspace) {
    const RecordedEvent::Figures seen = event.figures();
    const std::uint32_t key = builder_.key(keyspace, event.first());
    Operation read;
    read.target = key;
    set_flags(read, event);
    const auto place = static_cast<std::uint32_t>(builder_.transaction(index).operations.size());
    if (seen.writer == event.transaction) {
      read.version = {index, std::max(writes_so_far_.count(index, key), 1U)};
    } else if (seen.writer != 0) {
      const bool committed = !event.has(RecordedEvent::uncommitted);
      read.version.writer = writer_of(seen, committed);
      if (!committed) {
        uncommitted_reads_.push_back({index, place, seen.version, 0, 0});
      } else if (writes_so_far_.count(read.version.writer, key) == 0) {
        add_unrecorded_write(read.version.writer, key, seen.version, read.absent);
      }
    } else {
      base_reads_.push_back({index, place, 0, seen.at, seen.digest});
    }
    builder_.transaction(index).operations.push_back(read);
  }

  void add_scan(std::uint32_t index, const RecordedEvent& event, const std::string& keyspace) {
    HistoryRange range{keyspace, std::string(event.first()), std::nullopt, false, false, 0, {}};
    if (event.has(RecordedEvent::has_second)) range.upper = std::string(event.second());
    range.reverse = event.has(RecordedEvent::reverse);
    range.limited = event.has(RecordedEvent::limited);
    const RecordedEvent::Figures seen = event.figures();
    range.snapshot = seen.at;
    auto& operations = builder_.transaction(index).operations;
    while (range.yielded < seen.writer && range.yielded < operations.size()) {
      operations[operations.size() - 1 - range.yielded].yielded = true;
      ++range.yielded;
    }
    Operation scan;
    scan.kind = Operation::Kind::scan;
    scan.target = static_cast<std::uint32_t>(builder_.history.ranges.size());
    set_flags(scan, event);
    operations.push_back(scan);
    builder_.history.ranges.push_back(std::move(range));
  }

  void add_write(std::uint32_t index, const RecordedEvent& event, const std::string& keyspace) {
    const RecordedEvent::Figures made = event.figures();
    Operation write;
    write.kind = Operation::Kind::write;
    write.write_kind = static_cast<WriteKind>(event.detail);
    write.target = builder_.key(keyspace, event.first());
    write.at = event.order;
    const std::uint32_t number = writes_so_far_.count(index, write.target) + 1;
    builder_.transaction(index).operations.push_back(write);
    writes_.push_back({index, write.target, number, write.write_kind == WriteKind::add,
                       made.version, made.digest});
  }

  void add_undo(std::uint32_t index, const RecordedEvent& event) {
    // The transaction's writes stand at the end of its own thread's part of the list, and their
    // numbers grow: those above the mark are undone.
    std::uint32_t undone = 0;
    std::uint32_t standing = 0;
    for (const Operation& operation : builder_.transaction(index).operations) {
      if (operation.kind == Operation::Kind::write) ++standing;
      if (operation.kind == Operation::Kind::undo) standing -= operation.target;
    }
    const std::uint64_t mark = event.figures().version;
    std::vector<std::uint64_t>& undone_before = undone_[index];
    for (std::size_t i = writes_.size(); i > 0 && undone < standing; --i) {
      const Write& write = writes_[i - 1];
      if (write.transaction != index) continue;
      if (write.sequence <= mark) break;
      const bool already = std::find(undone_before.begin(), undone_before.end(), write.sequence) !=
                           undone_before.end();
      if (already) continue;
      undone_before.push_back(write.sequence);
      ++undone;
    }
    if (undone == 0) return;
    Operation undo;
    undo.kind = Operation::Kind::undo;
    undo.target = undone;
    undo.at = event.order;
    builder_.transaction(index).operations.push_back(undo);
  }

  void end(std::uint32_t index, const RecordedEvent& event) {
    const RecordedEvent::Figures figures = event.figures();
    HistoryTransaction& ended = builder_.transaction(index);
    ended.ended_at = event.order;
    ended.ended_ns = static_cast<std::int64_t>(figures.at);
    if (event.kind == Kind::commit) {
      ended.end = HistoryEnd::committed;
      ended.timestamp = figures.version;
      return;
    }
    ended.cause = std::string(event.first());
    const bool in_doubt = ended.cause == name(ErrorCode::commit_outcome_unknown);
    ended.end = in_doubt ? HistoryEnd::unknown : HistoryEnd::aborted;
  }

  // Once all is known: a private write is seen as soon as it is there, and told of only when its
  // operation is over, so a read of it may come first in the order of events.
  void resolve_uncommitted() {
    if (uncommitted_reads_.empty()) return;
    std::unordered_map<std::uint64_t, std::uint32_t> numbers;  // by sequence
    for (const Write& write : writes_) numbers.emplace(write.sequence, write.number);
    for (const Read& read : uncommitted_reads_) {
      Operation& operation = operation_of(read);
      const auto [number, unrecorded] = numbers.emplace(read.sequence, 1);
      operation.version.write = number->second;
      if (!unrecorded) continue;
      const Operation seen = operation;
      add_unrecorded_write(seen.version.writer, seen.target, read.sequence, seen.absent);
    }
  }

  Operation& operation_of(const Read& read) {
    return builder_.transaction(read.transaction).operations[read.operation];
  }

  // A base value is the newest version at or below the snapshot: one of the history, if a
  // checkpoint has carried it there meanwhile. Its value must be that one's; if it is not, then the
  // read is told as one of the newest older version that has this value, so that the checker sees
  // what the engine did wrong.
  void resolve_base_reads() {
    if (base_reads_.empty()) return;
    const History& history = builder_.history;
    std::vector<const Write*> final_writes;
    for (const Write& write : writes_) {
      const HistoryTransaction& writer = history.transactions[write.transaction];
      const bool committed = writer.timestamp != 0 && writer.end != HistoryEnd::aborted;
      if (committed && !is_undone(write)) final_writes.push_back(&write);
    }
    const auto timestamp = [&](const Write* write) {
      return history.transactions[write->transaction].timestamp;
    };
    const auto earlier = [&](const Write* a, const Write* b) {
      if (a->key != b->key) return a->key < b->key;
      if (a->transaction != b->transaction) return timestamp(a) < timestamp(b);
      return a->number < b->number;
    };
    std::sort(final_writes.begin(), final_writes.end(), earlier);
    for (const Read& read : base_reads_) {
      Operation& operation = operation_of(read);
      const std::uint32_t key = operation.target;
      auto at =
          std::partition_point(final_writes.begin(), final_writes.end(), [&](const Write* write) {
            return write->key != key ? write->key < key : timestamp(write) <= read.snapshot;
          });
      const auto of_key = [&] { return at != final_writes.begin() && (*(at - 1))->key == key; };
      if (!of_key()) continue;
      const Write* version = *(at - 1);
      // The sum of an addition is known only once it is committed.
      if (version->digest != read.digest && !version->is_add) {
        while (of_key() && (*(at - 1))->digest != read.digest) --at;
        if (!of_key()) continue;
        version = *(at - 1);
      }
      operation.version.writer = version->transaction;
    }
  }

  bool is_undone(const Write& write) const {
    const auto undone = undone_.find(write.transaction);
    return undone != undone_.end() && std::find(undone->second.begin(), undone->second.end(),
                                                write.sequence) != undone->second.end();
  }

  HistoryBuilder builder_;
  std::optional<std::uint64_t> first_;
  const std::unordered_map<std::uint64_t, std::string>& sessions_;
  WriteCounts writes_so_far_;
  std::vector<Write> writes_;
  std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> undone_;
  std::vector<Read> uncommitted_reads_;
  std::vector<Read> base_reads_;
};

}  // namespace

History recorded_history(const std::vector<std::unique_ptr<RecordBuffer>>& buffers,
                         const std::unordered_map<std::uint64_t, std::string>& sessions) {
  // Each buffer is in order; together they are merged.
  const auto later = [](const RecordBuffer::Reader& a, const RecordBuffer::Reader& b) {
    return a.get()->order > b.get()->order;
  };
  std::vector<RecordBuffer::Reader> heap;
  for (const auto& buffer : buffers) {
    RecordBuffer::Reader reader(*buffer);
    if (reader.get() != nullptr) heap.push_back(reader);
  }
  std::make_heap(heap.begin(), heap.end(), later);
  Assembly assembly(sessions);
  const std::string none;
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    RecordBuffer::Reader& next = heap.back();
    const RecordedEvent& event = *next.get();
    const bool named =
        event.kind == Kind::read || event.kind == Kind::scan || event.kind == Kind::write;
    assembly.add(event, named ? next.buffer().keyspace_name(event.keyspace) : none);
    next.next();
    if (next.get() == nullptr) {
      heap.pop_back();
    } else {
      std::push_heap(heap.begin(), heap.end(), later);
    }
  }
  return std::move(assembly).finish();
}

}  // namespace isolde::lab
