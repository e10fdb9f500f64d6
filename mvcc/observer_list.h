// How a transaction reaches its observers.
#pragma once

#include <new>

#include "mvcc/database_core.h"
#include "mvcc/transaction_core.h"

namespace isolde::mvcc {

template <typename Told>
void TransactionCore::tell(Told&& told) {
  const std::uint64_t version = database_.observers_version();
  if (version != observers_version_) {
    observers_ = database_.observers();
    observers_version_ = version;
  }
  if (!observers_) return;
  for (const auto& observer : *observers_) {
    // One that finds no memory has missed something; the transaction goes on.
    try {
      told(*observer);
    } catch (const std::bad_alloc&) {
    }
  }
}

}  // namespace isolde::mvcc
