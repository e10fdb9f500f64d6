// What a transaction keeps to tell its observers of, once its slot is left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <variant>

#include "isolde/observer.h"
#include "isolde/transaction.h"
#include "isolde/types.h"

namespace isolde::mvcc {

// What kind of read it was.
struct ReadKind {
  ReadMode mode = ReadMode::plain;
  bool tracked = true;
  bool cursor = false;
  bool before_write = false;
};

// Reads are many: what they returned is kept in one string, and takes no memory of its own.
struct ReadNote {
  KeyspaceId keyspace;
  std::size_t at;  // the key in that string, the value behind it
  std::size_t key_bytes;
  std::optional<std::size_t> value_bytes;
  TransactionId writer;
  std::optional<std::uint64_t> commit;
  std::uint64_t sequence;
  ReadKind kind;
  std::uint64_t snapshot;
};

using EventCall = std::function<void(Observer&, const EventTransaction&)>;
using Event = std::variant<ReadNote, EventCall>;

}  // namespace isolde::mvcc
