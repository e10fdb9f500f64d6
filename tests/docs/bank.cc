#include <isolde/isolde.h>

#include <iostream>

int main() {
  auto db = isolde::Database::open("bank.db").value();
  auto accounts = db.keyspace("accounts").value();
  db.transact([&](isolde::Transaction& txn) { return txn.put(accounts, "alice", "100"); }).value();

  const isolde::TransactionOptions options{.isolation = isolde::Isolation::serializable,
                                           .label = "transfer"};
  // Commits what the function wrote, all or nothing; runs it again after a conflict.
  const auto moved = db.transact(options, [&](auto& txn) -> isolde::Result<std::int64_t> {
    const auto left = txn.add_and_get(accounts, "alice", -30);
    if (!left) return left.error();
    return txn.add_and_get(accounts, "bob", 30);
  });
  if (moved) std::cout << "bob has " << *moved << '\n';
  if (!moved) std::cerr << moved.error().to_string() << '\n';
  return moved ? 0 : 1;
}
