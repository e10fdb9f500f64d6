// A bank whose books can be audited: accounts, and a receipt for each transfer, written with it.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "isolde/isolde.h"

namespace isolde::test {

// Thread-safe, as its database is.
class Bank {
 public:
  static constexpr int accounts = 16;
  static constexpr std::int64_t opening_balance = 1000;

  // Opens the accounts, unless they are there.
  static Result<Bank> open(Database& db);

  // Moves a random amount between two random accounts, at a random level: plain reads at
  // repeatable read and serializable, for update at read committed. Leaves a receipt under that
  // name.
  Result<void> transfer(std::string_view receipt, std::mt19937_64& random);

  // The receipts' names; an error if the books are not what the receipts say, entry by entry, or
  // the total has changed.
  struct Audit {
    std::uint64_t receipts = 0;
    std::string wrong;  // empty if all is well
  };
  Result<Audit> audit(Isolation isolation);
  Result<bool> has_receipt(std::string_view receipt);

 private:
  Bank(Database& db, Keyspace books, Keyspace receipts)
      : db_(&db), books_(std::move(books)), receipts_(std::move(receipts)) {}

  Database* db_;
  Keyspace books_;
  Keyspace receipts_;
};

}  // namespace isolde::test
