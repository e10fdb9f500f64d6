#include "lab/recorder.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "lab/recorded_history.h"
#include "lab/recorder_buffer.h"

namespace isolde::lab {
namespace {

using Kind = RecordedEvent::Kind;

std::atomic<std::uint64_t> next_serial{1};

std::uint64_t digest_of(const std::optional<std::string_view>& value) {
  if (!value) return 0;
  return XXH3_64bits(value->data(), value->size()) | 1;  // 0 means absent
}

}  // namespace

Recorder::Recorder() : serial_(next_serial.fetch_add(1)) {}
Recorder::~Recorder() = default;

RecordBuffer& Recorder::buffer() {
  // The buffers of the recorders that this thread used last, newest first. Whoever falls off the
  // end gets a second buffer, which does no harm.
  struct Known {
    std::uint64_t serial = 0;
    RecordBuffer* buffer = nullptr;
  };
  thread_local std::array<Known, 4> known;
  if (known[0].serial == serial_) return *known[0].buffer;
  auto* const found = std::find_if(known.begin(), known.end(),
                                   [this](const Known& entry) { return entry.serial == serial_; });
  if (found == known.end()) {
    known.back().serial = serial_;
    const std::lock_guard lock(mutex_);
    buffers_.push_back(std::make_unique<RecordBuffer>());
    known.back().buffer = buffers_.back().get();
    std::rotate(known.begin(), known.end() - 1, known.end());
  } else {
    std::rotate(known.begin(), found, found + 1);
  }
  return *known[0].buffer;
}

std::int64_t Recorder::now_ns() const {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now() - start_).count();
}

RecordedEvent& Recorder::append(const EventTransaction& self, std::string_view keyspace,
                                std::string_view first, std::string_view second) {
  RecordBuffer& events = buffer();
  auto* event = new (events.allocate(first.size() + second.size())) RecordedEvent;
  event->level = self.isolation;
  event->locking = self.locking;
  if (!keyspace.empty()) event->keyspace = events.keyspace(keyspace);
  event->first_bytes = static_cast<std::uint32_t>(first.size());
  event->second_bytes = static_cast<std::uint32_t>(second.size());
  event->transaction = self.id.value;
  auto* bytes = reinterpret_cast<char*>(event + 1);
  if (!first.empty()) std::memcpy(bytes, first.data(), first.size());
  if (!second.empty()) std::memcpy(bytes + first.size(), second.data(), second.size());
  event->order = order_.fetch_add(1);
  return *event;
}

void Recorder::on_begin(const EventTransaction& self) {
  RecordedEvent& event = append(self, {}, self.label);
  event.kind = Kind::begin;
  event.at = static_cast<std::uint64_t>(now_ns());
}

void Recorder::on_read(const EventTransaction& self, const ReadEvent& read) {
  RecordedEvent& event = append(self, read.keyspace, read.key);
  event.kind = Kind::read;
  event.detail = static_cast<std::uint8_t>(read.mode);
  event.set(RecordedEvent::absent, !read.version.value);
  event.set(RecordedEvent::cursor, read.cursor);
  event.set(RecordedEvent::untracked, !read.tracked);
  event.set(RecordedEvent::before_write, read.before_write);
  event.set(RecordedEvent::uncommitted, !read.version.commit);
  event.writer = read.version.writer.value;
  event.version = read.version.commit ? read.version.commit->value : read.version.sequence;
  event.at = read.snapshot ? read.snapshot->value : 0;
  const bool is_base = event.writer == 0;
  if (is_base) event.digest = digest_of(read.version.value);
}

void Recorder::on_scan(const EventTransaction& self, const ScanEvent& scan) {
  const KeyRange& range = scan.observed;
  RecordedEvent& event = append(self, scan.keyspace, range.lower,
                                range.upper ? std::string_view(*range.upper) : std::string_view());
  event.kind = Kind::scan;
  event.detail = static_cast<std::uint8_t>(scan.mode);
  event.set(RecordedEvent::cursor, scan.cursor);
  event.set(RecordedEvent::untracked, !scan.tracked);
  event.set(RecordedEvent::reverse, scan.reverse);
  event.set(RecordedEvent::limited, scan.limited);
  event.set(RecordedEvent::has_second, range.upper.has_value());
  event.writer = scan.yielded + scan.hidden;
  event.at = scan.snapshot ? scan.snapshot->value : 0;
}

void Recorder::on_write(const EventTransaction& self, const WriteEvent& write) {
  RecordedEvent& event = append(self, write.keyspace, write.key);
  event.kind = Kind::write;
  event.detail = static_cast<std::uint8_t>(write.kind);
  event.version = write.sequence;
  event.digest = digest_of(write.value);
}

void Recorder::on_undo(const EventTransaction& self, std::uint64_t sequence) {
  RecordedEvent& event = append(self, {}, {});
  event.kind = Kind::undo;
  event.version = sequence;
}

void Recorder::on_commit(const EventTransaction& self, Timestamp commit) {
  RecordedEvent& event = append(self, {}, {});
  event.kind = Kind::commit;
  event.version = commit.value;
  event.at = static_cast<std::uint64_t>(now_ns());
}

void Recorder::on_abort(const EventTransaction& self, const Error* cause) {
  RecordedEvent& event =
      append(self, {}, cause != nullptr ? name(cause->code()) : std::string_view());
  event.kind = Kind::abort;
  event.at = static_cast<std::uint64_t>(now_ns());
}

void Recorder::set_session(TransactionId transaction, std::string session) {
  const std::lock_guard lock(mutex_);
  sessions_[transaction.value] = std::move(session);
}

History Recorder::history() const {
  const std::lock_guard lock(mutex_);
  return recorded_history(buffers_, sessions_);
}

void Recorder::clear() {
  const std::lock_guard lock(mutex_);
  for (const auto& buffer : buffers_) buffer->clear();
  sessions_.clear();
}

}  // namespace isolde::lab
