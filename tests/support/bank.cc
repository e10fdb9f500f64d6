#include "tests/support/bank.h"

#include <array>
#include <charconv>
#include <utility>

namespace isolde::test {
namespace {

std::string account_name(int number) { return "account" + std::to_string(number); }

std::int64_t number_in(std::string_view text) {
  std::int64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

}  // namespace

Result<Bank> Bank::open(Database& db) {
  auto books = db.keyspace("books");
  if (!books) return books.error();
  auto receipts = db.keyspace("receipts");
  if (!receipts) return receipts.error();
  const Bank bank(db, *books, *receipts);
  auto opened = db.transact([&](Transaction& txn) -> Result<void> {
    auto first = txn.get(bank.books_, account_name(0));
    if (!first) return first.error();
    for (int i = 0; i < accounts && !*first; ++i) {
      auto put = txn.put(bank.books_, account_name(i), std::to_string(opening_balance));
      if (!put) return put;
    }
    return {};
  });
  if (!opened) return opened.error();
  return bank;
}

Result<void> Bank::transfer(std::string_view receipt, std::mt19937_64& random) {
  const int from = static_cast<int>(random() % accounts);
  const int to = (from + 1 + static_cast<int>(random() % (accounts - 1))) % accounts;
  const auto amount = static_cast<std::int64_t>(random() % 50);
  constexpr std::array levels{Isolation::read_committed, Isolation::repeatable_read,
                              Isolation::serializable};
  TransactionOptions options;
  options.isolation = levels[random() % levels.size()];
  options.retry.max_attempts = 1000;
  const bool for_update = options.isolation == Isolation::read_committed;
  return db_->transact(options, [&](Transaction& txn) -> Result<void> {
    const auto change = [&](int account, std::int64_t by) -> Result<void> {
      const std::string name = account_name(account);
      auto balance = for_update ? txn.get_for_update(books_, name) : txn.get(books_, name);
      if (!balance) return balance.error();
      const std::int64_t sum = number_in((*balance).value_or("0")) + by;
      return txn.put(books_, name, std::to_string(sum));
    };
    if (auto done = change(from, -amount); !done) return done;
    if (auto done = change(to, amount); !done) return done;
    return txn.insert(
        receipts_, receipt,
        std::to_string(from) + ' ' + std::to_string(to) + ' ' + std::to_string(amount));
  });
}

Result<Bank::Audit> Bank::audit(Isolation isolation) {
  Audit audit;
  TransactionOptions options;
  options.isolation = isolation;
  auto txn = db_->begin(options);
  if (!txn) return txn.error();
  std::array<std::int64_t, accounts> balances{};
  balances.fill(opening_balance);
  auto read = txn->scan(receipts_, KeyRange::all(), [&](std::string_view, std::string_view entry) {
    const std::size_t first = entry.find(' ');
    const std::size_t second = entry.find(' ', first + 1);
    const std::int64_t amount = number_in(entry.substr(second + 1));
    balances[static_cast<std::size_t>(number_in(entry))] -= amount;
    balances[static_cast<std::size_t>(number_in(entry.substr(first + 1)))] += amount;
    ++audit.receipts;
  });
  if (!read) return read.error();
  std::int64_t total = 0;
  for (int i = 0; i < accounts; ++i) {
    auto balance = txn->get(books_, account_name(i));
    if (!balance) return balance.error();
    const std::int64_t found = number_in((*balance).value_or("0"));
    total += found;
    const std::int64_t expected = balances[static_cast<std::size_t>(i)];
    if (found != expected && audit.wrong.empty()) {
      audit.wrong = account_name(i) + " has " + std::to_string(found) + ", by the receipts " +
                    std::to_string(expected);
    }
  }
  if (total != accounts * opening_balance) {
    audit.wrong = "the total is " + std::to_string(total);
  }
  return audit;
}

Result<bool> Bank::has_receipt(std::string_view receipt) {
  auto txn = db_->begin();
  if (!txn) return txn.error();
  auto entry = txn->get(receipts_, receipt);
  if (!entry) return entry.error();
  return entry->has_value();
}

}  // namespace isolde::test
