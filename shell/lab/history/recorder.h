// The recorder: an observer that turns a run into a history.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isolde/observer.h"
#include "lab/history/history.h"
#include "lab/history/recorder_buffer.h"

namespace isolde::lab {

// Thread safety: the callbacks and set_session() may run concurrently. Each thread writes to a
// buffer of its own, which it finds without a lock; all share one counter, the order of events.
//
// What makes the order sound for real time: a begin takes its number before the transaction reads
// anything, an end takes its own after the commit is visible. So if T1's end has a smaller number
// than T2's begin, T2 can see T1.
class Recorder : public Observer {
 public:
  Recorder();
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;
  ~Recorder() override;

  // Which session a transaction belongs to. At any time, once its id is known.
  void set_session(TransactionId transaction, std::string session);

  // What has been recorded so far. Precondition: no observed operation is running meanwhile.
  //
  // Versions that were written before the recording began belong to the base, or to a transaction
  // of which nothing else is known. A base value that was read after a checkpoint had carried a
  // recorded version there is told as that version.
  History history() const;
  // Forgets what has been recorded. Precondition: as history().
  void clear();

  void on_begin(const EventTransaction& self) override;
  void on_read(const EventTransaction& self, const ReadEvent& event) override;
  void on_scan(const EventTransaction& self, const ScanEvent& event) override;
  void on_write(const EventTransaction& self, const WriteEvent& event) override;
  void on_undo(const EventTransaction& self, std::uint64_t sequence) override;
  void on_commit(const EventTransaction& self, Timestamp commit) override;
  void on_abort(const EventTransaction& self, const Error* cause) override;

 private:
  RecordBuffer& buffer();
  // A new event with its number in the order.
  RecordedEvent& append(const EventTransaction& self, const RecordedEvent::Figures& figures,
                        std::string_view keyspace, std::string_view first,
                        std::string_view second = {});
  std::uint64_t now_ns() const;

  const std::uint64_t serial_;  // tells this recorder from an earlier one at the same address
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  alignas(64) std::atomic<std::uint64_t> order_{1};
  alignas(64) mutable std::mutex mutex_;  // the two below, not the buffers' contents
  std::vector<std::unique_ptr<RecordBuffer>> buffers_;
  std::unordered_map<std::uint64_t, std::string> sessions_;
};

}  // namespace isolde::lab
