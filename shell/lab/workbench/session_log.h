// What the sessions of the shell do, as the database tells it: who began, read, wrote, waits.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "isolde/observer.h"
#include "lab/history/recorder.h"

namespace isolde::lab {

// One thing that a transaction read or wrote.
struct Touch {
  enum class Kind : std::uint8_t { read, scan, write };
  Kind kind = Kind::read;
  std::string keyspace;
  std::string key;                     // read, write
  std::optional<EvidenceRange> range;  // scan: what was observed
  // Read, write; nothing: absent or erased. Of a blind add its number, with a sign.
  std::optional<std::string> value;
  TransactionId writer;             // read: of the version; 0: not known
  std::optional<Timestamp> commit;  // read: of the version; nothing: uncommitted
  ReadMode mode = ReadMode::plain;
  std::size_t yielded = 0;     // scan
  std::uint64_t sequence = 0;  // write
  std::string command;         // as typed
};

// The transaction that a session has open, or had last.
struct Activity {
  TransactionId id;
  bool open = true;
  std::optional<Timestamp> committed;
  std::vector<Touch> touches;
  std::size_t left_out = 0;  // beyond the most that are kept
};

// What a session waits for now.
struct CurrentWait {
  TransactionId id;
  LockMode mode = LockMode::exclusive;
  std::vector<LockWaitEdge> edges;
  std::chrono::steady_clock::time_point since;
};

// An observer of the transactions that carry a session's name as their label; others, with which
// the shell itself looks around, are none of the sessions' business. Feeds the recorder with the
// same.
//
// Thread safety: callbacks and accessors may run concurrently; mutex_ is a leaf. recorder() has its
// own rules.
class SessionLog final : public Observer {
 public:
  // `command`: what the session of that name is at; called in its thread.
  explicit SessionLog(std::function<std::string(std::string_view)> command)
      : command_(std::move(command)) {}

  std::optional<Activity> activity(std::string_view session) const;
  std::optional<CurrentWait> wait(std::string_view session) const;
  // The session that ran a transaction, or nothing.
  std::optional<std::string> session_of(TransactionId id) const;
  // By which command the holder came to what the edge is about, if that is known.
  std::optional<std::string> reason_of(const LockWaitEdge& edge) const;
  const Recorder& recorder() const noexcept { return recorder_; }

  void on_begin(const EventTransaction& txn) override;
  void on_read(const EventTransaction& txn, const ReadEvent& event) override;
  void on_scan(const EventTransaction& txn, const ScanEvent& event) override;
  void on_write(const EventTransaction& txn, const WriteEvent& event) override;
  void on_undo(const EventTransaction& txn, std::uint64_t sequence) override;
  void on_commit(const EventTransaction& txn, Timestamp at) override;
  void on_abort(const EventTransaction& txn, const Error* cause) override;
  void on_block(const EventTransaction& txn, const BlockEvent& event) override;
  void on_wake(const EventTransaction& txn, WakeReason reason) override;

 private:
  void add(const EventTransaction& txn, Touch touch);
  Activity* current(const EventTransaction& txn);

  std::function<std::string(std::string_view)> command_;
  Recorder recorder_;
  mutable std::mutex mutex_;
  std::map<std::string, Activity, std::less<>> activities_;  // by session
  std::map<std::string, CurrentWait, std::less<>> waits_;    // by session
  std::unordered_map<std::uint64_t, std::string> sessions_;  // by transaction
};

}  // namespace isolde::lab
