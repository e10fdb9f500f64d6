#include "lab/history/recorder.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "lab/history/recorded_history.h"
#include "lab/history/recorder_buffer.h"

namespace isolde::lab {
namespace {

using Kind = RecordedEvent::Kind;
using Figures = RecordedEvent::Figures;

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

std::uint64_t Recorder::now_ns() const {
  const std::chrono::nanoseconds since = std::chrono::steady_clock::now() - start_;
  return static_cast<std::uint64_t>(since.count());
}

RecordedEvent& Recorder::append(const EventTransaction& self, const Figures& figures,
                                std::string_view keyspace, std::string_view first,
                                std::string_view second) {
  RecordBuffer& events = buffer();
  void* const place =
      events.allocate(RecordedEvent::footprint_of(figures, first.size() + second.size()));
  RecordedEvent& event = RecordedEvent::make(place, figures, first, second);
  event.level = self.isolation;
  event.locking = self.locking;
  if (!keyspace.empty()) event.keyspace = events.keyspace(keyspace);
  event.transaction = self.id.value;
  event.order = order_.fetch_add(1);
  return event;
}

void Recorder::on_begin(const EventTransaction& self) {
  append(self, {.at = now_ns()}, {}, self.label).kind = Kind::begin;
}

void Recorder::on_read(const EventTransaction& self, const ReadEvent& read) {
  const ObservedVersion& version = read.version;
  Figures figures;
  figures.writer = version.writer.value;
  figures.version = version.commit ? version.commit->value : version.sequence;
  figures.at = read.snapshot ? read.snapshot->value : 0;
  const bool is_base = figures.writer == 0;
  if (is_base) figures.digest = digest_of(version.value);
  RecordedEvent& event = append(self, figures, read.keyspace, read.key);
  event.kind = Kind::read;
  event.detail = static_cast<std::uint8_t>(read.mode);
  event.set(RecordedEvent::absent, !version.value);
  event.set(RecordedEvent::cursor, read.cursor);
  event.set(RecordedEvent::untracked, !read.tracked);
  event.set(RecordedEvent::before_write, read.before_write);
  event.set(RecordedEvent::uncommitted, !version.commit);
}

void Recorder::on_scan(const EventTransaction& self, const ScanEvent& scan) {
  const KeyRange& range = scan.observed;
  Figures figures;
  figures.writer = scan.yielded + scan.hidden;
  figures.at = scan.snapshot ? scan.snapshot->value : 0;
  RecordedEvent& event = append(self, figures, scan.keyspace, range.lower,
                                range.upper ? std::string_view(*range.upper) : std::string_view());
  event.kind = Kind::scan;
  event.detail = static_cast<std::uint8_t>(scan.mode);
  event.set(RecordedEvent::cursor, scan.cursor);
  event.set(RecordedEvent::untracked, !scan.tracked);
  event.set(RecordedEvent::reverse, scan.reverse);
  event.set(RecordedEvent::limited, scan.limited);
  event.set(RecordedEvent::has_second, range.upper.has_value());
}

void Recorder::on_write(const EventTransaction& self, const WriteEvent& write) {
  Figures figures;
  figures.version = write.sequence;
  figures.digest = digest_of(write.value);
  RecordedEvent& event = append(self, figures, write.keyspace, write.key);
  event.kind = Kind::write;
  event.detail = static_cast<std::uint8_t>(write.kind);
}

void Recorder::on_undo(const EventTransaction& self, std::uint64_t sequence) {
  append(self, {.version = sequence}, {}, {}).kind = Kind::undo;
}

void Recorder::on_commit(const EventTransaction& self, Timestamp commit) {
  append(self, {.version = commit.value, .at = now_ns()}, {}, {}).kind = Kind::commit;
}

void Recorder::on_abort(const EventTransaction& self, const Error* cause) {
  const std::string_view why = cause != nullptr ? name(cause->code()) : std::string_view();
  append(self, {.at = now_ns()}, {}, why).kind = Kind::abort;
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
